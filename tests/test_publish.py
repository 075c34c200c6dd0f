"""A source in a real room: every viewer sees the current picture, also after losses of source or room."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest
from livekit import api
from PIL import Image

from vision_agent import open_source
from vision_agent.errors import ServerError
from vision_agent.publish import publisher as publisher_module
from vision_agent.publish.publisher import Publisher
from vision_agent.testing.server import LocalServer

from .clips import BASE_S, write_clip
from .publishing import LIVE, access_to, publisher_of, viewing
from .rooms import agent_in, ask, ask_until, codes, joined
from .waiting import until
from .watching import opened, watched

CLIP_S = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("publish") / "clip.mp4"
    options = {**LIVE, "g": "30"}
    return write_clip(path, size_wh=(1280, 720), fps=30, seconds=CLIP_S, options=options)


@pytest.fixture(scope="module")
def long_group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One key frame in ten seconds."""
    path = tmp_path_factory.mktemp("publish") / "long.mp4"
    return write_clip(path, size_wh=(640, 360), fps=15, seconds=20, options={**LIVE, "g": "150"})


async def test_twenty_questions_about_what_passes_through_twenty_right(
    server: LocalServer, clip: Path
) -> None:
    async with publisher_of(clip, server) as publisher, joined(server, "agent") as room:
        async with agent_in(room) as session:
            (first,) = codes(await ask_until(session, lambda answer: bool(codes(answer))))
            (second,) = codes(
                await ask_until(session, lambda answer: bool(codes(answer)) and codes(answer)[0] != first)
            )
            began_s = time.monotonic() - (second - BASE_S)  # late by at most the time of an answer
            right = 0
            for _ in range(20):
                await asyncio.sleep(random.uniform(0.05, 0.35))
                asked_s = time.monotonic()
                (code,) = codes(await ask(session))
                shown = range(int(asked_s - began_s - 0.5), int(time.monotonic() - began_s + 0.3) + 1)
                right += (code - BASE_S) in {moment % CLIP_S for moment in shown}
        state = publisher.state
        assert right == 20
        assert state.route == "passthrough" and state.size_wh == (1280, 720) and state.problem is None
        # we know the length of the first group when it has ended; then we can expect the next key frame soon
        assert publisher.counts.sent > 100 and publisher.counts.bridged <= 30


async def test_who_comes_late_sees_now_within_two_seconds_though_the_next_key_picture_is_far(
    server: LocalServer, long_group: Path
) -> None:
    async with publisher_of(long_group, server) as publisher, viewing(server, "early") as early:
        await early.more()
        waits_s: list[float] = []
        async with AsyncExitStack() as others:
            for number in range(3):
                await early.more(20)  # more than a second later, in the middle of the group
                late = await others.enter_async_context(viewing(server, f"late {number}"))
                await until(lambda late=late: len(late.seconds) >= 2)  # type: ignore[misc]
                waits_s.append(late.waited_s)
                # the first picture was current: the next second followed within a second
                (at_s, shown), (next_s, following) = late.seconds[:2]
                assert following == shown + 1 and next_s - at_s < 1.5
        assert max(waits_s) <= 2, waits_s
        assert publisher.counts.bridges >= 1
        shown_early = [second for _, second in early.seconds]
        assert shown_early == sorted(shown_early)  # the video did not jump back for anybody
        bridged = publisher.counts.bridged
        await until(lambda: publisher.counts.sent_keys >= 2 and early.seconds[-1][1] >= 11, within_s=20)
        assert publisher.counts.bridged <= bridged + 15 * 10
        bridged = publisher.counts.bridged
        await early.more(15)
        assert publisher.counts.bridged == bridged  # the camera's own pictures pass again


async def test_while_nobody_watches_nothing_is_sent_and_then_at_once(
    server: LocalServer, long_group: Path
) -> None:
    async with publisher_of(long_group, server) as publisher:
        async with viewing(server, "first") as first:
            await first.more()
        await until(lambda: publisher.state.published and not publisher.state.watched, within_s=30)
        sent, decoded = publisher.counts.wire_bytes, publisher.counts.bridged
        async with watched(opened(long_group)) as beside:
            await beside.more(15)  # a second
        assert publisher.counts.wire_bytes - sent < 2000 and publisher.counts.bridged == decoded
        async with viewing(server, "second") as second:
            await second.more()
            assert second.waited_s <= 2
            await until(lambda: publisher.state.watched)


@pytest.mark.parametrize("what", ["reordered", "mjpeg", "testcard", "picture", "forced"])
async def test_what_can_not_pass_through_is_encoded(server: LocalServer, tmp_path: Path, what: str) -> None:
    if what == "picture":
        uri = str(tmp_path / "one.png")
        Image.new("RGB", (320, 180), (200, 40, 40)).save(uri)
    elif what == "testcard":
        uri = "testcard://?size=320x180"
    elif what == "mjpeg":
        uri = str(write_clip(tmp_path / "clip.avi", codec="mjpeg"))
    else:
        options = {"preset": "veryfast", "bf": "3"} if what == "reordered" else LIVE
        uri = str(write_clip(tmp_path / "clip.mp4", options=options))
    async with publisher_of(uri, server, encode=what == "forced") as publisher, viewing(server) as viewer:
        await viewer.more(10 if what != "picture" else 3)
        assert publisher.state.route == "encoded"
        expected = {"reordered": "B-frames", "mjpeg": "mjpeg"}.get(what)
        assert expected is None or expected in (publisher.why_encoded or "")
        if what in ("reordered", "mjpeg", "forced"):
            await until(lambda: len(viewer.seconds) >= 2)
            assert {second for _, second in viewer.seconds} <= {0, 1, 2, 3}


@pytest.mark.server
async def test_a_server_killed_and_started_again_gets_the_pictures_again(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "REJOIN_MAX_S", 1.0)
    async with LocalServer() as first:
        port, secret = int(first.url.rpartition(":")[2]), first.api_secret
        async with publisher_of(clip, first) as publisher:
            async with viewing(first, reads=False) as viewer:
                await viewer.more()
            assert first._process is not None
            first._process.kill()
            await until(lambda: publisher.state.problem is not None, within_s=20)
            assert publisher.state.flows  # it is recovering: no reason for a restart
            async with LocalServer(port=port, api_secret=secret) as again:
                await until(
                    lambda: publisher.state.problem is None and publisher.state.published, within_s=45
                )
                async with viewing(again, reads=False) as viewer:
                    await viewer.more()
                assert publisher.counts.reconnects >= 1


async def test_a_room_that_is_deleted_is_joined_again_and_a_removal_is_final(
    server: LocalServer, clip: Path
) -> None:
    keys = server.keys
    publisher = Publisher(open_source(str(clip)), access_to(server))
    running = asyncio.create_task(publisher.run())
    try:
        async with api.LiveKitAPI(keys.url, keys.api_key, keys.api_secret) as control:
            await until(lambda: publisher.state.published)
            await control.room.delete_room(api.DeleteRoomRequest(room="test"))
            await until(lambda: publisher.counts.reconnects == 1 and publisher.state.published)
            await control.room.remove_participant(api.RoomParticipantIdentity(room="test", identity="camera"))
            with pytest.raises(ServerError, match="camera was removed from the room by the server"):
                await asyncio.wait_for(running, 10)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_another_one_with_the_same_identity_ends_it(server: LocalServer, clip: Path) -> None:
    publisher = Publisher(open_source(str(clip)), access_to(server))
    running = asyncio.create_task(publisher.run())
    await until(lambda: publisher.state.published)
    async with joined(server, "camera"):
        with pytest.raises(ServerError, match="another participant joined as camera: give each publisher"):
            await asyncio.wait_for(running, 10)


async def test_nothing_is_left_over_after_eight_rounds(server: LocalServer, clip: Path) -> None:
    process = psutil.Process()
    for round_number in range(8):
        if round_number == 2:
            handles, native = process.num_fds(), process.num_threads()
        uri = clip if round_number % 2 else "testcard://?size=320x180"
        async with publisher_of(uri, server) as publisher:
            await until(lambda p=publisher: p.counts.sent > 0)  # type: ignore[misc]
    await until(lambda: not ours() and process.num_fds() <= handles)
    assert process.num_threads() <= native + 6  # asyncio's and the SDK's own pools


def ours() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith(("publish", "reader of"))]
