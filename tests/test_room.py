"""The main use on a real livekit-server: real tracks, real clients, answers checked against the pixels."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from livekit import rtc
from livekit.agents import llm

from vision_agent.testing.server import LocalServer
from vision_agent.turns.messages import about

from .rooms import agent_in, ask, ask_until, codes, joined, publishing


def times_of(message: llm.ChatMessage) -> list[float | None]:
    """When the pictures of a message reached us, in seconds of Unix time."""
    return [each["captured_unix_s"] for each in about(message)["sightings"]]


@pytest.mark.timeout(180)
async def test_a_hundred_typed_questions_are_answered_from_the_moment_they_were_asked(
    server: LocalServer,
) -> None:
    late_s = []
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        async with agent_in(room) as session, publishing(alice):
            await ask_until(session, lambda answer: bool(codes(answer)))
            for _ in range(100):
                await asyncio.sleep(random.uniform(0, 0.2))
                asked_s = time.time()
                (code,) = codes(await ask(session))
                (taken_s,) = times_of([m for m in session.history.messages() if m.role == "user"][-1])
                assert taken_s is not None and taken_s <= time.time()
                # the code of the picture's own moment, which is half a second before it reached us at most
                assert int(taken_s - 0.5) <= code <= int(taken_s), (code, taken_s)
                late_s.append(asked_s - min(taken_s, code + 1))  # the card showed this code until code + 1
    assert sum(seconds <= 0.5 for seconds in late_s) >= 99, sorted(late_s)[-5:]


async def test_mute_unmute_unpublish_leave_and_return(server: LocalServer) -> None:
    async with joined(server, "agent") as room, agent_in(room) as session:
        assert "no camera" in await ask(session)
        async with joined(server, "alice") as alice:
            async with publishing(alice) as publication:
                await ask_until(session, lambda answer: bool(codes(answer)))
                assert isinstance(publication.track, rtc.LocalVideoTrack)
                publication.track.mute()
                await ask_until(session, lambda answer: "muted" in answer and not codes(answer))
                publication.track.unmute()
                await ask_until(session, lambda answer: bool(codes(answer)))
            await ask_until(session, lambda answer: "no longer published" in answer)
            async with publishing(alice):
                await ask_until(session, lambda answer: bool(codes(answer)))
        await ask_until(session, lambda answer: "left" in answer or "no longer" in answer)
        async with joined(server, "alice") as alice, publishing(alice):
            answer = await ask_until(session, lambda answer: bool(codes(answer)))
            assert len(codes(answer)) == 1  # one view, not one for each time she came


async def test_a_screen_share_beside_the_camera_is_a_view_of_its_own(server: LocalServer) -> None:
    async with joined(server, "agent") as room, joined(server, "alice") as alice, agent_in(room) as session:
        async with publishing(alice):
            async with publishing(alice, rtc.TrackSource.SOURCE_SCREENSHARE, late_s=1000):
                answer = await ask_until(session, lambda answer: len(codes(answer)) == 2)
                old, new = sorted(codes(answer))
                assert 998 <= new - old <= 1002
            await ask_until(session, lambda answer: len(codes(answer)) == 1)
