"""A session that listens to one person: never to a camera; when that person has left, to the next one."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import Agent, AgentSession

from vision_agent.hearing.link import Link
from vision_agent.testing.server import LocalServer

from .rooms import joined
from .talking import CAMERA, WITH_TEXT, EchoLLM, device, person
from .waiting import until


async def test_a_camera_is_not_linked_and_who_comes_next_is(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with device(server, "door", grants=CAMERA), EchoLLM() as model:
        async with joined(server, "agent") as room, AgentSession[Any](llm=model) as session:

            def linked() -> str | None:
                participant = session.room_io.linked_participant
                return None if participant is None else participant.identity

            await session.start(Agent(instructions=""), room=room, room_options=WITH_TEXT)
            await until(lambda: linked() == "door")  # LiveKit takes whoever came first
            Link(room, session).start()
            assert linked() is None
            async with person(server, "alice") as alice:
                await until(lambda: linked() == "alice")
                assert "Hello?" in await alice.ask("Hello?")
                async with person(server, "bob") as bob:
                    await until(lambda: "bob" in room.remote_participants)
                    assert linked() == "alice"
                    await alice.room.disconnect()
                    await until(lambda: linked() == "bob")
                    assert "Hello?" in await bob.ask("Hello?")
            await until(lambda: linked() is None)
            async with person(server, "carol") as carol:
                await until(lambda: linked() == "carol")
                await session.aclose()
                await carol.room.disconnect()  # nobody looks for a link that is gone
                await until(lambda: set(room.remote_participants) == {"door"})
    assert "failed to emit event" not in caplog.text


async def test_somebody_who_leaves_before_anybody_is_linked_changes_nothing(server: LocalServer) -> None:
    async with device(server, "other", kind="agent") as other, EchoLLM() as model:
        async with joined(server, "agent") as room, AgentSession[Any](llm=model) as session:
            await session.start(Agent(instructions=""), room=room, room_options=WITH_TEXT)
            Link(room, session).start()
            await other.disconnect()
            await until(lambda: not room.remote_participants)
            async with person(server, "alice") as alice:
                await until(lambda: session.room_io.linked_participant is not None)
                assert "Hello?" in await alice.ask("Hello?")
