"""``VisionAgent`` in somebody's own session: whom it listens to, what they may do, and who gets what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession, llm, room_io

from vision_agent import Vision, VisionAgent, VisionOptions
from vision_agent.demand import Demand
from vision_agent.testing.server import LocalServer

from .cards import ListeningLLM, images_in
from .files import file_of
from .rooms import codes, joined, publishing
from .sending import Sender
from .talking import CAMERA, WITH_TEXT, device, person
from .visitor import QUESTION
from .waiting import until

SIZE_WH = (640, 360)


@asynccontextmanager
async def agent_of(
    room: rtc.Room,
    model: llm.LLM[Any] | None = None,
    *,
    options: room_io.RoomOptions = WITH_TEXT,
    **known: Any,
) -> AsyncIterator[tuple[AgentSession[Any], VisionAgent]]:
    """An agent as in the README, without the setting ``listen_to``."""
    model = ListeningLLM() if model is None else model
    agent = VisionAgent(vision=Vision.for_room(room, options=VisionOptions(max_wait_s=0.5)), **known)
    async with model, AgentSession[Any](llm=model) as session:
        await session.start(agent, room=room, room_options=options)
        yield session, agent


async def test_with_a_camera_in_the_room_first_everybody_who_asks_is_answered(server: LocalServer) -> None:
    async with device(server, "door", grants=CAMERA) as door, publishing(door, size_wh=SIZE_WH):
        async with joined(server, "agent") as room, agent_of(room):
            async with person(server, "alice") as alice, person(server, "bob") as bob:
                for _ in range(2):
                    for visitor, name in ((alice, "alice"), (bob, "bob")):
                        heard = await visitor.answer_to(await visitor.post(QUESTION))
                        assert heard.attributes["vision.asked_by"] == name
                assert len(codes(heard.text)) == 1  # of the door's camera


async def test_who_is_not_heard_can_neither_ask_nor_send_nor_raise_the_views(server: LocalServer) -> None:
    model = ListeningLLM()
    async with joined(server, "agent") as room, joined(server, "cam") as cam:
        async with publishing(cam, size_wh=SIZE_WH), agent_of(room, model, listen_to=["bob"]) as (_, agent):
            async with person(server, "alice") as alice, person(server, "bob") as bob:
                await until(lambda: {"alice", "bob"} <= set(room.remote_participants))
                await until(lambda: bool(agent._vision.eyes))
                watcher = agent._vision.eyes[0].watcher
                refused = await Sender(alice.room).send(file_of("PNG"), "card.png", "image/png")
                assert refused["reason"] == "you may not send pictures to this agent"
                heard = await alice.answer_to(await alice.post(QUESTION))
                assert heard.attributes["vision.error"] and not codes(heard.text)
                assert watcher.demand is Demand.IDLE and model.requests == []
                await alice.room.local_participant.publish_data(b"", topic="vision.typing")
                await bob.room.local_participant.publish_data(b"", topic="vision.typing")
                await until(lambda: watcher.demand is Demand.ACTIVE)
                assert (await Sender(bob.room).send(file_of("PNG"), "card.png", "image/png"))["accepted"]
                assert codes((await bob.answer_to(await bob.post(QUESTION))).text)
    lines = [part for m in model.requests[-1].messages() for part in m.content if isinstance(part, str)]
    assert any('sent by "bob"' in line for line in lines)


async def test_a_handling_of_typed_text_of_ones_own_stays(server: LocalServer) -> None:
    typed: list[str] = []

    async def own(session: AgentSession[Any], event: room_io.TextInputEvent) -> None:
        typed.append(event.text)

    options = room_io.RoomOptions(
        text_input=room_io.TextInputOptions(text_input_cb=own), audio_input=False, audio_output=False
    )
    async with joined(server, "agent") as room, agent_of(room, options=options):
        async with person(server, "alice") as alice:
            await until(lambda: "alice" in room.remote_participants)
            await alice.post("mine")
            await until(lambda: typed == ["mine"])


async def test_marks_go_to_the_person_who_asked_alone(server: LocalServer) -> None:
    got: dict[str, list[str]] = {"alice": [], "bob": []}
    reading: set[asyncio.Task[None]] = set()

    def keep(name: str) -> Callable[[rtc.ByteStreamReader, str], None]:
        def on_picture(reader: rtc.ByteStreamReader, identity: str) -> None:
            async def read() -> None:
                async for _ in reader:
                    pass
                got[name].append((reader.info.attributes or {})["asked_by"])

            task = asyncio.create_task(read())
            reading.add(task)
            task.add_done_callback(reading.discard)

        return on_picture

    async with joined(server, "agent") as room, joined(server, "cam") as cam, agent_of(room):
        async with publishing(cam, size_wh=SIZE_WH), person(server, "alice") as alice:
            async with person(server, "bob") as bob:
                for name, visitor in (("alice", alice), ("bob", bob)):
                    visitor.room.register_byte_stream_handler("agent-images", keep(name))
                answer = await alice.answer_to(await alice.post("Please mark the QR code."))
                assert "I marked VA-" in answer.text
                await until(lambda: got["alice"] == ["alice"])
                answer = await bob.answer_to(await bob.post("Please mark the QR code."))
                await until(lambda: got["bob"] == ["bob"])
                assert got["alice"] == ["alice"]


async def test_the_next_agent_of_a_session_takes_over(server: LocalServer) -> None:
    async with joined(server, "agent") as room, joined(server, "cam") as cam:
        async with publishing(cam, size_wh=SIZE_WH), agent_of(room) as (session, first):
            async with person(server, "alice") as alice:
                assert codes((await alice.answer_to(await alice.post(QUESTION))).text)
                session.update_agent(VisionAgent(vision=first._vision))
                await until(lambda: session.current_agent is not first and first._presence is None)
                assert codes((await alice.answer_to(await alice.post(QUESTION))).text)
                assert (await Sender(alice.room).send(file_of("PNG"), "card.png", "image/png"))["accepted"]


async def test_one_picture_more_than_may_wait_is_refused_and_the_others_go_out(server: LocalServer) -> None:
    model = ListeningLLM()
    async with joined(server, "agent") as room, agent_of(room, model), person(server, "alice") as alice:
        sender = Sender(alice.room)
        results = [await sender.send(file_of("PNG"), f"{n}.png", "image/png", f"card {n}") for n in range(9)]
        assert [result["accepted"] for result in results] == [True] * 8 + [False]
        assert results[-1]["reason"] == "8 pictures wait for the next question already: ask it first"
        await alice.answer_to(await alice.post(QUESTION))
        assert len(images_in(model.requests[-1])) == 8
