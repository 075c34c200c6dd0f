"""Uploads through a real room: what is accepted, what is refused with which reason, and what ends when."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from livekit.agents import AgentSession

from vision_agent import EncodedImage, Vision, VisionAgent
from vision_agent.imaging.files import read_picture
from vision_agent.testing.server import LocalServer
from vision_agent.uploads import UploadLimits, Uploads

from .cards import ListeningLLM, images_in
from .files import CARD, FORMATS, bomb, file_of
from .rooms import ask, codes, joined
from .sending import Sender
from .waiting import until


@asynccontextmanager
async def receiving(
    server: LocalServer, *, leaves: bool = False, **limits: Any
) -> AsyncIterator[tuple[Sender, list[tuple[EncodedImage, str]]]]:
    """Uploads of a room, alice who sends, and what was accepted with its caption."""
    accepted: list[tuple[EncodedImage, str]] = []

    async def accept(image: EncodedImage, caption: str) -> None:
        accepted.append((image, caption))

    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        if leaves:  # the agent is told so only if it was told that she came
            await until(lambda: "alice" in room.remote_participants)
        uploads = Uploads(room, accept=accept, limits=UploadLimits(**limits))
        uploads.start()
        try:
            yield Sender(alice), accepted
        finally:
            await uploads.aclose()


def under_way(identity: str) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == f"upload of {identity}"]


async def test_uploads_reach_the_model_and_bad_ones_are_answered(server: LocalServer) -> None:
    model = ListeningLLM()
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        sender = Sender(alice)
        async with Vision.for_room(room) as vision, AgentSession[Any](llm=model) as session:
            await session.start(VisionAgent(vision=vision))
            for format in FORMATS:
                result = await sender.send(file_of(format), f"card.{format}", "text/plain", f"a {format}")
                assert result["accepted"], result
                assert codes(await ask(session)) == [1_700_000_000]
                assert images_in(model.requests[-1])[-1].startswith("data:image/jpeg;base64,")
                lines = [p for m in model.requests[-1].messages() for p in m.content if isinstance(p, str)]
                assert f"[a picture the user sent: a {format}]" in lines
            for data, said in (
                (b"text", "not a picture"),
                (file_of("JPEG")[:3000], "broken"),
                (bomb(), "pixels"),
            ):
                result = await sender.send(data, "fine.png", "image/png")
                assert not result["accepted"] and said in result["reason"]
            before = {item.id for item in model.requests[-1].items}
            result = await sender.send(bytes(50_000_000), "large.png", "image/png")
            assert not result["accepted"] and "10000000" in result["reason"]
            # through all of it the agent goes on, and of many at once none is lost on the way to the model
            taken = [answer for answer in await sender.burst(20) if answer["accepted"]]
            assert codes(await ask(session))[-1] == 1_700_000_000
            added = [m for m in model.requests[-1].messages() if m.id not in before and m.role == "user"]
            assert len(added) == len(taken) + 1  # the question


async def test_captions_and_pictures_arrive_in_order(server: LocalServer) -> None:
    async with receiving(server) as (sender, accepted):
        for side_px, caption in ((20, "small"), (40, ""), (60, "\u00fcber \u22121 m")):
            picture = file_of("PNG", CARD.resize((side_px, side_px)))
            assert (await sender.send(picture, "a.png", "image/png", caption))["accepted"]
        assert (await sender.send(file_of("PNG"), "a.png", "image/png"))["accepted"]
    assert [caption for _, caption in accepted] == ["small", "", "\u00fcber \u22121 m", ""]
    assert [image.width for image, _ in accepted] == [20, 40, 60, 640]


async def test_those_beyond_max_in_flight_are_refused_and_none_is_lost(server: LocalServer) -> None:
    refusal = "too many uploads at once: at most 3"
    async with receiving(server, max_in_flight=3) as (sender, accepted), joined(server, "bob") as bob:
        begun = [await sender.begin(f"slow {n}") for n in range(3)]
        await until(lambda: len(under_way("alice")) == 3)
        answers = await sender.burst(17)
        assert [answer.get("reason") for answer in answers] == [refusal] * 17 and accepted == []
        assert (await Sender(bob).send(file_of("PNG"), "bob.png", "image/png"))[
            "accepted"
        ]  # each has their own
        for writer in begun:
            await writer.write(file_of("PNG"))
            await writer.aclose()
        answers = [await sender.answer() for _ in begun]
        assert {answer["name"] for answer in answers if answer["accepted"]} == {"slow 0", "slow 1", "slow 2"}
        answers = await sender.burst(20)
        taken = [answer for answer in answers if answer["accepted"]]
        assert {answer["name"] for answer in answers} == {str(n) for n in range(20)}
        assert {answer["reason"] for answer in answers if not answer["accepted"]} <= {refusal}
        assert len(taken) >= 3 and len(accepted) == 1 + 3 + len(taken)
        assert not under_way("alice")


async def test_a_file_that_takes_too_long_is_refused(server: LocalServer) -> None:
    async with receiving(server, timeout_s=0.2) as (sender, accepted):
        writer = await sender.begin("slow.png")
        await writer.write(file_of("PNG")[:1000])
        answer = await sender.answer()
        assert (answer["name"], answer["reason"]) == ("slow.png", "it did not arrive within 0.2 s")
        await until(lambda: not under_way("alice"))
    assert accepted == []


async def test_what_a_sender_who_left_had_under_way_ends(server: LocalServer) -> None:
    async with receiving(server, leaves=True, timeout_s=3600, max_in_flight=2) as (sender, accepted):
        for n in range(2):
            writer = await sender.begin(f"half {n}")
            await writer.write(bytes(20_000))
        await until(lambda: len(under_way("alice")) == 2)
        ending = under_way("alice")
        await sender.room.disconnect()
        await until(lambda: not under_way("alice"))
        assert all(task.cancelled() for task in ending)
        async with joined(server, "alice") as back:  # and may use all there is when they are back
            again = Sender(back)
            answers = [await again.send(file_of("PNG"), "a.png", "image/png") for _ in range(2)]
            assert all(answer["accepted"] for answer in answers)
    assert len(accepted) == 2


class SlowDecoder:
    """``read_picture``, but not before the gate is open; keeps how many were at it at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = threading.Event()
        self.at_work: list[int] = []
        self.most = 0
        monkeypatch.setattr("vision_agent.uploads.read_picture", self)

    def __call__(self, data: bytes, **limits: int) -> EncodedImage:
        self.at_work.append(len(data))
        self.most = max(self.most, len(self.at_work))
        assert self.gate.wait(20)
        self.at_work.pop()
        return read_picture(data, **limits)


async def test_one_picture_is_decoded_at_a_time_whoever_leaves(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = SlowDecoder(monkeypatch)
    async with receiving(server, leaves=True) as (sender, accepted):
        await sender.post(file_of("PNG"), "first.png")
        await until(lambda: len(decoder.at_work) == 1)
        await sender.room.disconnect()
        await until(lambda: not under_way("alice"))
        async with joined(server, "alice") as back:
            again = Sender(back)
            await again.post(file_of("PNG"), "second.png")
            await again.post(bytes(10_000_001), "large.png")  # answered without being decoded
            assert (await again.answer())["name"] == "large.png"
            decoder.gate.set()
            answer = await again.answer()
            assert answer["name"] == "second.png" and answer["accepted"]
    assert decoder.most == 1 and len(accepted) == 1


async def test_pictures_are_handed_over_one_at_a_time(server: LocalServer) -> None:
    gate, at_it, most = asyncio.Event(), set[str](), 0

    async def accept(image: EncodedImage, caption: str) -> None:
        nonlocal most
        at_it.add(caption)
        most = max(most, len(at_it))
        await gate.wait()
        at_it.remove(caption)

    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        uploads, sender = Uploads(room, accept=accept), Sender(alice)
        uploads.start()
        for caption in ("first", "second"):
            await sender.post(file_of("PNG"), caption, attributes={"caption": caption})
        await sender.post(b"text", "third")  # is decoded, in vain, when the second one has been
        assert (await sender.answer())["name"] == "third" and at_it == {"first"}
        gate.set()
        assert {(await sender.answer())["name"] for _ in range(2)} == {"first", "second"}
        await uploads.aclose()
    assert most == 1


async def test_the_end_waits_for_the_picture_that_is_decoded(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, threads = SlowDecoder(monkeypatch), threading.enumerate()
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        uploads = Uploads(room, accept=_refuse)
        uploads.start()
        for n in range(2):
            await Sender(alice, listens=False).post(file_of("PNG"), str(n))
        await until(lambda: len(decoder.at_work) == 1 and len(under_way("alice")) == 2)
        closing = asyncio.create_task(uploads.aclose())
        await until(lambda: not under_way("alice"))
        assert not closing.done()
        decoder.gate.set()
        await closing
        assert decoder.at_work == [] and decoder.most == 1
        left = set(threading.enumerate()) - set(threads)
        assert not [each for each in left if each.name.startswith("upload decoder")]
        await uploads.aclose()


async def _refuse(image: EncodedImage, caption: str) -> None:
    raise KeyError("a secret of the agent")


async def test_an_error_nobody_expected_is_answered_too(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        uploads, sender = Uploads(room, accept=_refuse), Sender(alice)
        uploads.start()
        for name in ("accept", "decoder"):
            answer = await sender.send(file_of("PNG"), name, "image/png")
            assert (answer["name"], answer["accepted"]) == (name, False)
            assert answer["reason"] == "the agent could not take it in; its log says why"
            monkeypatch.setattr("vision_agent.uploads.read_picture", None)
        await uploads.aclose()
    failures = [record.exc_info for record in caplog.records if record.message == "an upload failed"]
    assert [failure[0] for failure in failures if failure] == [KeyError, TypeError]


async def test_a_file_without_end_is_refused_and_takes_no_memory(server: LocalServer) -> None:
    process, chunk = psutil.Process(), bytes(15_000)
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        sender = Sender(alice)
        async with Vision.for_room(room) as vision, AgentSession[Any](llm=ListeningLLM()) as session:
            await session.start(VisionAgent(vision=vision))
            assert (await sender.send(file_of("PNG"), "card.png", "image/png"))["accepted"]
            before = process.memory_info().rss
            writer = await alice.local_participant.stream_bytes("endless.png", topic="images")
            for _ in range(2_500):  # 37 MB, and no word of it before
                await writer.write(chunk)
            await writer.aclose()
            result = await sender.answer()
            assert not result["accepted"] and "more than 10000000 bytes received" in result["reason"]
            assert process.memory_info().rss - before < 25_000_000
            assert (await sender.send(file_of("PNG"), "card.png", "image/png"))["accepted"]
