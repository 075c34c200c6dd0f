"""Uploads through a real room: what is accepted, what is refused with which reason, and what ends when."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psutil
import pytest
from livekit.agents import AgentSession, llm

from vision_agent import EncodedImage, ImageError, Vision, VisionAgent
from vision_agent.imaging.files import read_picture
from vision_agent.testing.server import LocalServer
from vision_agent.uploads import UploadLimits, Uploads, UploadStatistics

from .cards import ListeningLLM, images_in
from .decoders import decoders, gone, huge, many_scans, stopped_amid_picture
from .files import CARD, FORMATS, bomb, file_of
from .rooms import ask, codes, joined
from .sending import Sender
from .waiting import until

Accepted = list[tuple[EncodedImage, str, str]]
LEAVING = "the agent left before it had read the picture"


@asynccontextmanager
async def receiving(
    server: LocalServer, *people: str, idle_s: float = 60, **limits: Any
) -> AsyncIterator[tuple[Uploads, list[Sender], Accepted]]:
    """The uploads of a room, the senders, and the accepted pictures with caption and sender."""
    accepted: Accepted = []

    async def accept(image: EncodedImage, caption: str, identity: str) -> None:
        accepted.append((image, caption, identity))

    async with AsyncExitStack() as stack:
        room = await stack.enter_async_context(joined(server, "agent"))
        rooms = [await stack.enter_async_context(joined(server, name)) for name in people]
        # the server reports that a participant left only if it has announced that participant
        await until(lambda: set(people) <= set(room.remote_participants))
        uploads = Uploads(room, accept=accept, limits=UploadLimits(**limits), decoder_idle_s=idle_s)
        uploads.start()
        try:
            yield uploads, [Sender(each) for each in rooms], accepted
        finally:
            await uploads.aclose()
            assert not decoders()


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
                assert f'[picture: sent by "alice" with the caption "a {format}"]' in lines
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
            # the agent goes on after all this, and many files at once all reach the model
            taken = [answer for answer in await sender.burst(20) if answer["accepted"]]
            assert codes(await ask(session))[-1] == 1_700_000_000
            (question,) = [
                m for m in model.requests[-1].messages() if m.id not in before and m.role == "user"
            ]
            assert len([p for p in question.content if isinstance(p, llm.ImageContent)]) == len(taken)


async def test_captions_pictures_and_senders_arrive_in_order(server: LocalServer) -> None:
    async with receiving(server, "alice", "bob") as (_, (alice, bob), accepted):
        for side_px, caption in ((20, "small"), (40, ""), (60, "\u00fcber \u22121 m\nline")):
            picture = file_of("PNG", CARD.resize((side_px, side_px)))
            assert (await alice.send(picture, "a.png", "image/png", caption))["accepted"]
        assert (await bob.send(file_of("PNG"), "a.png", "image/png", "long" * 1000))["accepted"]
    assert [caption for _, caption, _ in accepted] == ["small", "", "\u00fcber \u22121 m\nline", "long" * 250]
    assert [image.width for image, _, _ in accepted] == [20, 40, 60, 640]
    assert [identity for _, _, identity in accepted] == ["alice", "alice", "alice", "bob"]


async def test_those_beyond_max_in_flight_are_refused_and_none_is_lost(server: LocalServer) -> None:
    refusal = "too many uploads at once: at most 3 from one participant"
    async with receiving(server, "alice", "bob", max_in_flight=3) as (uploads, (alice, bob), accepted):
        begun = [await alice.begin(f"slow {n}") for n in range(3)]
        await until(lambda: len(under_way("alice")) == 3)
        answers = await alice.burst(17)
        assert [answer.get("reason") for answer in answers] == [refusal] * 17 and accepted == []
        assert (await bob.send(file_of("PNG"), "bob.png", "image/png"))["accepted"]  # a limit per sender
        for writer in begun:
            await writer.write(file_of("PNG"))
            await writer.aclose()
        answers = [await alice.answer() for _ in begun]
        assert {answer["name"] for answer in answers if answer["accepted"]} == {"slow 0", "slow 1", "slow 2"}
        answers = await alice.burst(20)
        taken = [answer for answer in answers if answer["accepted"]]
        assert {answer["name"] for answer in answers} == {str(n) for n in range(20)}
        assert {answer["reason"] for answer in answers if not answer["accepted"]} <= {refusal}
        assert len(taken) >= 3 and len(accepted) == 1 + 3 + len(taken)
        assert not under_way("alice")
        assert uploads.statistics == UploadStatistics(
            received=41, accepted=len(accepted), refused=41 - len(accepted)
        )


async def test_those_beyond_the_total_are_refused_whoever_sends_them(server: LocalServer) -> None:
    refusal = "too many uploads at once: at most 3 from all participants together"
    async with receiving(server, "alice", "bob", max_in_flight_total=3) as (_, (alice, bob), accepted):
        begun = [await alice.begin(f"slow {n}") for n in range(3)]
        await until(lambda: len(under_way("alice")) == 3)
        assert (await bob.send(file_of("PNG"), "bob.png", "image/png"))["reason"] == refusal
        await begun[0].write(file_of("PNG"))
        await begun[0].aclose()
        assert (await alice.answer())["accepted"]
        assert (await bob.send(file_of("PNG"), "bob.png", "image/png"))["accepted"]
    assert [identity for _, _, identity in accepted] == ["alice", "bob"]


async def test_who_may_not_send_is_refused_and_keeps_nobody_waiting(server: LocalServer) -> None:
    async with (
        joined(server, "agent") as room,
        joined(server, "alice") as alice,
        joined(server, "bob") as bob,
    ):

        async def accept(image: EncodedImage, caption: str, identity: str) -> None:
            if caption:
                raise ImageError("no captions, please")

        uploads = Uploads(
            room,
            accept=accept,
            limits=UploadLimits(max_in_flight_total=1),
            may_send=lambda identity: identity == "alice",
        )
        uploads.start()
        begun = await Sender(bob, listens=False).begin("bob.png")
        await until(lambda: uploads.statistics.refused == 1)
        answers = [await Sender(bob).send(b"text", "bob.png", "image/png")]
        sender = Sender(alice)
        answers += [await sender.send(file_of("PNG"), "a.png", "image/png", caption) for caption in ("x", "")]
        await begun.aclose()
        await uploads.aclose()
    reasons = ["you may not send pictures to this agent", "no captions, please", None]
    assert [answer.get("reason") for answer in answers] == reasons


async def test_size_and_quality_are_those_that_are_set(server: LocalServer) -> None:
    accepted: Accepted = []

    async def accept(image: EncodedImage, caption: str, identity: str) -> None:
        accepted.append((image, caption, identity))

    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        uploads = Uploads(room, accept=accept, max_side_px=320, quality=30)
        uploads.start()
        await Sender(alice).send(file_of("PNG"), "a.png", "image/png")
        await uploads.aclose()
    assert accepted[0][0] == read_picture(file_of("PNG"), max_side_px=320, quality=30)


async def test_a_file_that_takes_too_long_is_refused(server: LocalServer) -> None:
    async with receiving(server, "alice", timeout_s=0.2) as (_, (alice,), accepted):
        writer = await alice.begin("slow.png")
        await writer.write(file_of("PNG")[:1000])
        answer = await alice.answer()
        assert (answer["name"], answer["reason"]) == ("slow.png", "it did not arrive within 0.2 s")
        await until(lambda: not under_way("alice"))
    assert accepted == []


async def test_what_a_sender_who_left_had_under_way_ends(server: LocalServer) -> None:
    async with receiving(server, "alice", timeout_s=3600, max_in_flight=2) as (_, (alice,), accepted):
        for n in range(2):
            writer = await alice.begin(f"half {n}")
            await writer.write(bytes(20_000))
        await until(lambda: len(under_way("alice")) == 2)
        ending = under_way("alice")
        await alice.room.disconnect()
        await until(lambda: not under_way("alice"))
        assert all(task.cancelled() for task in ending)
        async with joined(server, "alice") as back:  # after a return the whole limit is free again
            again = Sender(back)
            answers = [await again.send(file_of("PNG"), "a.png", "image/png") for _ in range(2)]
            assert all(answer["accepted"] for answer in answers)
    assert len(accepted) == 2


async def test_senders_come_in_turn(server: LocalServer) -> None:
    async with receiving(server, "alice", "bob", max_in_flight=3) as (uploads, senders, accepted):
        await senders[0].send(b"text", "starts the decoder", "")
        (process,) = decoders()
        process.suspend()
        for sender in senders:
            await sender.fill(file_of("PNG"), 3)
        assert accepted == [] and len(decoders()) == 1
        process.resume()
        for sender in senders:
            assert sorted([(await sender.answer())["name"] for _ in range(3)]) == ["0", "1", "2"]
        assert [identity for _, _, identity in accepted] == ["alice", "bob"] * 3
        assert uploads.statistics == UploadStatistics(received=9, accepted=6, refused=3)


async def test_nobody_waits_for_more_than_one_picture_of_somebody_else(server: LocalServer) -> None:
    async with receiving(server, "mallory", "bob", max_bytes=1_500_000) as (_, (mallory, bob), accepted):
        for n in range(3):
            await mallory.post(huge(), str(n))
        process = await stopped_amid_picture()
        await mallory.fill(huge(), 1)
        await bob.post(file_of("PNG"), "bob.png")
        answer = await bob.send(bytes(1_500_001), "large.png", "")
        assert answer["name"] == "large.png"  # so what was sent before it has arrived
        assert accepted == []
        process.resume()
        assert (await bob.answer())["accepted"]
        assert [identity for _, _, identity in accepted][:2] == ["mallory", "bob"]


async def test_a_jpeg_of_very_many_scans_is_refused_at_once(server: LocalServer) -> None:
    async with receiving(server, "alice", max_decode_s=0.1) as (_, (alice,), accepted):
        answer = await alice.send(many_scans(10_000, 7000), "scans.jpg", "image/jpeg")
        assert answer["reason"] == "more than 100 scans in the JPEG: at most 100 are accepted"
        assert (await alice.send(many_scans(100), "scans.jpg", "image/jpeg"))["accepted"]
    assert len(accepted) == 1


async def test_a_picture_that_takes_too_much_cpu_time_is_refused_and_the_next_is_not(
    server: LocalServer,
) -> None:
    async with receiving(server, "alice", max_decode_s=0.2) as (uploads, (alice,), _):
        answer = await alice.send(huge(), "huge.png", "image/png")
        assert answer["reason"] == "it takes too long to decode: at most 0.2 s of CPU time are allowed"
        assert (await alice.send(file_of("PNG"), "a.png", "image/png"))["accepted"]
        assert uploads.statistics == UploadStatistics(received=2, accepted=1, refused=1, killed=1)


async def test_a_sender_who_leaves_takes_the_decoder_process_along(server: LocalServer) -> None:
    async with receiving(server, "alice", "bob") as (uploads, (alice, bob), accepted):
        for n in range(2):
            await alice.post(huge(), str(n))
        process = await stopped_amid_picture()
        await bob.post(file_of("PNG"), "bob.png")
        await alice.room.disconnect()
        await gone(process)
        assert (await bob.answer())["accepted"] and not under_way("alice")
        assert uploads.statistics == UploadStatistics(received=3, accepted=1, killed=1)
    assert [identity for _, _, identity in accepted] == ["bob"]


async def test_a_decoder_process_that_dies_costs_one_upload(server: LocalServer) -> None:
    async with receiving(server, "alice") as (uploads, (alice,), _):
        await alice.post(huge(), "huge.png")
        (await stopped_amid_picture()).kill()
        assert (await alice.answer())["reason"] == "the decoder failed on this picture"
        assert (await alice.send(file_of("PNG"), "a.png", "image/png"))["accepted"]
        assert uploads.statistics == UploadStatistics(received=2, accepted=1, refused=1, killed=1)


async def test_no_decoder_process_is_left_after_a_while(server: LocalServer) -> None:
    async with receiving(server, "alice", idle_s=0.1) as (uploads, (alice,), _):
        assert not decoders()
        for _ in range(2):
            assert (await alice.send(file_of("PNG"), "a.png", "image/png"))["accepted"]
            await until(lambda: not decoders())
        assert uploads.statistics == UploadStatistics(received=2, accepted=2)


async def test_the_end_is_quick_and_answers_what_was_under_way(server: LocalServer) -> None:
    async with receiving(server, "alice") as (uploads, (alice,), accepted):
        await alice.post(huge(), "decoded")
        process = await stopped_amid_picture()
        await alice.post(file_of("PNG"), "waits")
        arriving = await alice.begin("arrives")
        await until(lambda: len(under_way("alice")) == 3)
        closing_s = time.monotonic()
        await uploads.aclose()
        assert time.monotonic() - closing_s < 2
        assert not decoders() and not under_way("alice")
        await gone(process)
        answers = [await alice.answer() for _ in range(3)]
        assert {answer["name"]: answer["reason"] for answer in answers} == dict.fromkeys(
            ("decoded", "waits", "arrives"), LEAVING
        )
        assert uploads.statistics == UploadStatistics(received=3, refused=3, killed=1)
        await arriving.aclose()
        await uploads.aclose()
        assert accepted == []


async def test_the_end_is_quick_when_the_room_is_gone_already(server: LocalServer) -> None:
    async with joined(server, "alice") as alice:
        async with joined(server, "agent") as room:
            uploads = Uploads(room, accept=_refuse)
            uploads.start()
            await Sender(alice).post(huge(), "huge.png")
            process = await stopped_amid_picture()
        closing_s = time.monotonic()
        await uploads.aclose()
        assert time.monotonic() - closing_s < 2
        await gone(process)


async def test_pictures_are_handed_over_one_at_a_time(server: LocalServer) -> None:
    gate, at_it, most = asyncio.Event(), set[str](), 0

    async def accept(image: EncodedImage, caption: str, identity: str) -> None:
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
        await sender.post(b"text", "third")  # decoded, and refused, after the second one
        assert (await sender.answer())["name"] == "third" and at_it == {"first"}
        gate.set()
        assert {(await sender.answer())["name"] for _ in range(2)} == {"first", "second"}
        await uploads.aclose()
    assert most == 1


async def _refuse(image: EncodedImage, caption: str, identity: str) -> None:
    raise KeyError("a secret of the agent")


async def test_an_error_nobody_expected_is_answered_too(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        uploads, sender = Uploads(room, accept=_refuse, decoder_idle_s=0.05), Sender(alice)
        uploads.start()
        for name in ("accept", "decoder"):
            answer = await sender.send(file_of("PNG"), name, "image/png")
            assert (answer["name"], answer["accepted"]) == (name, False)
            assert answer["reason"] == "the agent could not process the picture; its log says why"
            await until(lambda: not decoders())
            monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        await uploads.aclose()
    failures = [record.exc_info for record in caplog.records if record.message == "an upload failed"]
    assert [failure[0] for failure in failures if failure] == [KeyError, FileNotFoundError]


async def test_a_file_without_end_is_refused_and_takes_no_memory(server: LocalServer) -> None:
    process, chunk = psutil.Process(), bytes(15_000)
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        sender = Sender(alice)
        async with Vision.for_room(room) as vision, AgentSession[Any](llm=ListeningLLM()) as session:
            await session.start(VisionAgent(vision=vision))
            assert (await sender.send(file_of("PNG"), "card.png", "image/png"))["accepted"]
            before = process.memory_info().rss
            writer = await alice.local_participant.stream_bytes("endless.png", topic="images")
            for _ in range(2_500):  # 37 MB, with no declared size
                await writer.write(chunk)
            await writer.aclose()
            result = await sender.answer()
            assert not result["accepted"] and "more than 10000000 bytes received" in result["reason"]
            assert process.memory_info().rss - before < 25_000_000
            assert (await sender.send(file_of("PNG"), "card.png", "image/png"))["accepted"]
