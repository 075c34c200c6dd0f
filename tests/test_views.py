"""Which track of a room belongs to which view."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from livekit import rtc

from vision_agent import Sighting, Vision, VisionOptions
from vision_agent.sources.track import TrackSource
from vision_agent.testing.server import LocalServer
from vision_agent.views.room import KEPT_GONE

from .rooms import joined, publishing
from .test_tracks import code_in
from .waiting import until

BEFORE_S = 5000.0
SIZE_WH = (640, 360)  # several are encoded at once, on a small machine


async def views_of(vision: Vision) -> dict[str, Sighting]:
    return {view.name: view for view in await vision.look()}


async def until_seen(vision: Vision, *names: str) -> dict[str, Sighting]:
    """Look again until exactly these views show a code."""
    deadline_s = time.monotonic() + 15
    while True:
        views = await views_of(vision)
        if set(views) == set(names) and all(code_in(view) is not None for view in views.values()):
            return views
        assert time.monotonic() < deadline_s, [(view.problem, code_in(view)) for view in views.values()]
        await asyncio.sleep(0.05)


def is_late(view: Sighting) -> bool:
    code = code_in(view)
    assert code is not None
    return abs(time.time() - code - BEFORE_S) < 5


async def test_two_cameras_beside_each_other_are_two_views_and_each_keeps_its_name(
    server: LocalServer,
) -> None:
    async with joined(server, "agent") as room, joined(server, "robot") as robot, AsyncExitStack() as front:
        vision = Vision.for_room(room, options=VisionOptions(max_wait_s=0.5))
        async with vision:
            publication = await front.enter_async_context(publishing(robot, name="front", size_wh=SIZE_WH))
            await until_seen(vision, "camera of robot")  # the first to come has the short name
            async with publishing(robot, name="rear", late_s=BEFORE_S, size_wh=SIZE_WH):
                views = await until_seen(vision, "camera of robot", "camera of robot (rear)")
                assert is_late(views["camera of robot (rear)"]) and not is_late(views["camera of robot"])
                await robot.local_participant.unpublish_track(publication.sid)
                views = await until_seen(vision, "camera of robot (rear)")
                async with publishing(robot, name="front", size_wh=SIZE_WH):
                    views = await until_seen(vision, "camera of robot", "camera of robot (rear)")
                    assert is_late(views["camera of robot (rear)"])


async def test_cameras_that_are_there_before_the_agent_stay_two_views_whatever_is_subscribed_first(
    server: LocalServer,
) -> None:
    """In a room that subscribes to every track: at full cost, and at no cost while nobody looks."""
    async with joined(server, "robot") as robot, publishing(robot, name="front", size_wh=SIZE_WH):
        async with (
            publishing(robot, name="rear", late_s=BEFORE_S, size_wh=SIZE_WH),
            joined(server, "agent") as room,
        ):
            for demand in ("ready", "on_demand"):
                options = VisionOptions(demand=demand, grace_s=0.0, max_wait_s=1.0)
                async with Vision.for_room(room, options=options) as vision:
                    for _ in range(3):
                        names = {view.name for view in (await until_two_codes(vision)).values()}
                        assert len(names) == 2


async def until_two_codes(vision: Vision) -> dict[str, Sighting]:
    deadline_s = time.monotonic() + 15
    while True:
        views = await views_of(vision)
        if len(views) == 2 and all(code_in(view) is not None for view in views.values()):
            assert sorted(is_late(view) for view in views.values()) == [False, True]
            return views
        assert time.monotonic() < deadline_s, views
        await asyncio.sleep(0.05)


async def test_of_two_cameras_without_names_the_one_that_is_followed_is_not_lost_to_the_other(
    server: LocalServer,
) -> None:
    """The events arrive in any order; in each case the view shows one of the tracks, and keeps showing it."""
    async with joined(server, "robot") as robot, publishing(robot, name="", size_wh=SIZE_WH):
        async with publishing(robot, name="", size_wh=SIZE_WH):
            for _ in range(3):
                async with joined(server, "agent") as room:
                    async with Vision.for_room(room, options=VisionOptions(grace_s=0.0)) as vision:
                        for _ in range(3):
                            await until_seen(vision, "camera of robot")
                        publications = room.remote_participants["robot"].track_publications.values()
                        await until(lambda p=publications: sum(e.subscribed for e in p) == 1)  # type: ignore[misc]


async def test_a_track_that_somebody_unsubscribes_is_asked_for_again(server: LocalServer) -> None:
    async with joined(server, "agent") as room, joined(server, "alice") as alice, publishing(alice):
        async with Vision.for_room(room, options=VisionOptions(max_wait_s=0.5)) as vision:
            await until_seen(vision, "camera of alice")
            (publication,) = room.remote_participants["alice"].track_publications.values()
            publication.set_subscribed(False)
            await until(lambda: not publication.subscribed)
            await until(lambda: publication.subscribed)
            await until_seen(vision, "camera of alice")


async def test_people_who_left_are_told_of_for_a_while_and_then_forgotten(server: LocalServer) -> None:
    async with joined(server, "agent") as room, AsyncExitStack() as bob:
        async with Vision.for_room(room, options=VisionOptions(max_wait_s=0.5)) as vision:
            await bob.enter_async_context(joined(server, "bob"))
            twin = await bob.enter_async_context(joined(server, "twin of bob"))
            await bob.enter_async_context(publishing(twin, size_wh=(320, 180)))
            await until(lambda: len(vision.eyes) == 1)
            for number in range(KEPT_GONE + 2):
                async with joined(server, f"guest {number}") as guest:
                    async with publishing(guest, size_wh=(320, 180)):
                        name = f"camera of guest {number}"
                        await until(lambda n=name: n in [e.source.name for e in vision.eyes])  # type: ignore[misc]
            kept = {f"camera of guest {number}" for number in range(2, KEPT_GONE + 2)}
            await until(lambda: {e.source.name for e in vision.eyes} == {*kept, "camera of twin of bob"})
            async with joined(server, "guest 0") as guest, publishing(guest):
                views = await until_seen(vision, "camera of twin of bob", "camera of guest 0")
                assert len(views) == 2


async def test_a_person_who_left_twice_and_is_back_is_not_forgotten_when_others_leave(
    server: LocalServer,
) -> None:
    async with joined(server, "agent") as room, AsyncExitStack() as bob:
        async with Vision.for_room(room, options=VisionOptions(max_wait_s=0.5)) as vision:
            names = ["camera of bob"]
            async with joined(server, "bob") as there, publishing(there, size_wh=SIZE_WH):
                await until(lambda: [eye.source.name for eye in vision.eyes] == names)
            await until(lambda: vision.eyes[0].source.problem == "bob left the room")
            async with joined(server, "bob"):  # without a camera
                await until(lambda: "bob" in room.remote_participants)
            await until(lambda: "bob" not in room.remote_participants)
            there = await bob.enter_async_context(joined(server, "bob"))
            await bob.enter_async_context(publishing(there, size_wh=SIZE_WH))
            await until_seen(vision, "camera of bob")
            for number in range(KEPT_GONE + 1):
                async with joined(server, f"guest {number}") as guest:
                    async with publishing(guest, size_wh=(320, 180)):
                        name = f"camera of guest {number}"
                        await until(lambda n=name: n in [e.source.name for e in vision.eyes])  # type: ignore[misc]
                await until(lambda n=number: f"guest {n}" not in room.remote_participants)  # type: ignore[misc]
            await until_seen(vision, "camera of bob")


async def test_an_error_of_the_stream_blinds_a_view_for_a_moment_only(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    take = TrackSource._take
    failures: list[rtc.VideoFrameEvent] = []

    def fail_once(source: TrackSource, event: rtc.VideoFrameEvent) -> None:
        if not failures:
            failures.append(event)
            raise RuntimeError("the stream broke")
        take(source, event)

    monkeypatch.setattr(TrackSource, "_take", fail_once)
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        async with publishing(alice, size_wh=SIZE_WH), Vision.for_room(room) as vision:
            await until_seen(vision, "camera of alice")
    assert failures and "track of camera of alice failed, trying again" in caplog.text
