"""A real RTSP server on loopback: what is seen, what it costs, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from livekit.agents import AgentSession

from vision_agent import Sighting, SourceError, Vision, VisionAgent, VisionOptions
from vision_agent.demand import Demand
from vision_agent.models.offline import OfflineLLM
from vision_agent.views.watcher import Watcher

from .clips import BASE_S, second_in, write_clip
from .rooms import ask
from .servers import free_port, rtsp_server, silent_server
from .waiting import until
from .watching import demuxed, opened, seen_again, watched


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rtsp") / "live.mp4"
    return write_clip(path, seconds=90, options={"g": "15"})


class RecordingVision(Vision):
    views: Sequence[Sighting] = ()

    async def look(self, *args: Any, **wanted: Any) -> list[Sighting]:
        self.views = await super().look(*args, **wanted)
        return list(self.views)


@pytest.mark.usefixtures("gstreamer")
async def test_fifty_questions_fifty_right(clip: Path) -> None:
    port = free_port()
    with rtsp_server(port, clip):
        source = opened(f"rtsp://127.0.0.1:{port}/live")
        options = VisionOptions(grace_s=0.3)  # idle again before the next question
        vision = RecordingVision(source=source, options=options)
        async with vision, AgentSession[Any](llm=OfflineLLM()) as session:
            await session.start(VisionAgent(vision=vision))
            await vision.opened()
            began_s = await second_begins(vision)
            right, ages_s = 0, []
            for _ in range(50):
                await asyncio.sleep(random.uniform(0.35, 0.8))
                assert vision.eyes[0].watcher.demand is Demand.IDLE
                asked_s = time.monotonic()
                answer = await ask(session, "What does the QR code say?")
                ages_s.append(vision.views[0].age_s or 0.0)
                assert "VA-" in answer, (answer, vision.views)
                code = int(answer.split("VA-")[1].rstrip("."))
                right += int(asked_s - began_s - 0.5) <= code <= time.monotonic() - began_s + 0.1
        assert right == 50 and max(ages_s) <= 0.5


async def second_begins(vision: Vision) -> float:
    """Wait for the code to change; return when the clip's code was, or would have been, VA-0."""
    last = None
    while True:
        (view,) = await vision.look()
        frame = vision.eyes[0].watcher.latest
        if view.image is not None and frame is not None:
            second = second_in(frame)
            if second is not None:
                if last is not None and second == last + 1:
                    return frame.captured_s - (BASE_S + second)
                last = second
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("gstreamer")
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_idle_decodes_a_picture_per_group_and_active_is_current_at_once(
    clip: Path, transport: str
) -> None:
    port = free_port()
    with rtsp_server(port, clip):
        source = opened(f"rtsp://127.0.0.1:{port}/live?transport={transport}")
        async with watched(source) as latest:
            await latest.next()
            source.set_demand(Demand.IDLE)
            await latest.next()
            before = source.statistics
            assert before is not None
            await demuxed(source, 45)
            after = source.statistics
            assert after is not None and latest.frame is not None
            assert 2 <= after.decoded - before.decoded <= 4
            assert time.monotonic() - latest.frame.captured_s < 2.3  # one group, and one second for us
            for _ in range(5):
                await latest.next()  # a key frame: the worst moment is just before the next
                await demuxed(source, 12)
                asked_s = time.monotonic()
                source.set_demand(Demand.ACTIVE)
                frame = await latest.next()
                assert time.monotonic() - asked_s < 0.3 and time.monotonic() - frame.captured_s < 0.3
                source.set_demand(Demand.IDLE)


@pytest.mark.usefixtures("gstreamer")
async def test_off_hangs_up_and_on_calls_again(clip: Path) -> None:
    port = free_port()
    with rtsp_server(port, clip):
        source = opened(f"rtsp://127.0.0.1:{port}/live")
        async with watched(source) as latest:
            await latest.next()
            source.set_demand(Demand.OFF)
            await until(lambda: not connections_to(port))
            count = latest.count
            source.set_demand(Demand.ACTIVE)
            await until(lambda: latest.count > count)
            assert source.statistics is not None and source.statistics.opened == 2


def connections_to(port: int) -> list[Any]:
    return [each for each in psutil.Process().net_connections() if each.raddr and each.raddr[1] == port]


@pytest.mark.usefixtures("gstreamer")
async def test_motion_jpeg_is_not_decoded(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "live.avi", codec="mjpeg", seconds=8, options={"huffman": "default"})
    port = free_port()
    with rtsp_server(port, clip, codec="jpeg"):
        source = opened(f"rtsp://127.0.0.1:{port}/live")
        async with watched(source) as latest:
            frame = await latest.next()
            assert frame.jpeg is not None and second_in(frame) in (0, 1)
            assert source.statistics is not None and source.statistics.decoded == 0


@pytest.mark.usefixtures("gstreamer")
async def test_a_killed_server_is_seen_again_within_five_seconds_of_its_return(clip: Path) -> None:
    port = free_port()
    watcher = Watcher(opened(f"rtsp://127.0.0.1:{port}/live"))
    watcher.start()
    name = watcher.source.name
    try:
        for _ in range(2):
            with rtsp_server(port, clip):
                await seen_again(watcher, max_age_s=0.5, within_s=5)
            await until(lambda: "refused" in (watcher.problem() or ""))
            assert f"rtsp://127.0.0.1:{port}/live: connection refused: check that" in (
                watcher.problem() or ""
            )
            failures = watcher.statistics.failures
            await until(partial(has_failed, watcher, failures + 4))  # back-off at its longest
            assert await watcher.fresh(max_age_s=0.3, max_wait_s=0.1) is None
        assert watcher.source.name == name
    finally:
        await watcher.aclose()


def has_failed(watcher: Watcher, times: int) -> bool:
    return watcher.statistics.failures >= times


@pytest.mark.usefixtures("gstreamer")
async def test_a_wrong_password_or_path_is_told_and_never_shown(
    clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = free_port()
    with rtsp_server(port, clip, "viewer", "secret"):
        source = opened(f"rtsp://viewer:secret@127.0.0.1:{port}/live")
        async with watched(source) as latest:
            await latest.next()
        assert "secret" not in repr(source.input)
        with pytest.raises(SourceError, match=r"\(401\): write rtsp://user:password@host") as caught:
            await anext(opened(f"rtsp://viewer:wrong-secret@127.0.0.1:{port}/live").frames())
        error: BaseException | None = caught.value
        while error is not None:
            assert "secret" not in str(error)
            assert error.__cause__ is None and error.__suppress_context__
            error = error.__cause__
        with pytest.raises(SourceError, match=r"nothing there \(404\): check the path"):
            await anext(opened(f"rtsp://viewer:secret@127.0.0.1:{port}/garden").frames())
    assert "secret" not in caplog.text


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(SourceError, match="connection refused: check that it is on, and the port"):
        await anext(opened(f"rtsp://127.0.0.1:{free_port()}/live").frames())
    with pytest.raises(SourceError, match="can't be reached: check the host's name"):
        await anext(opened("rtsp://nowhere.invalid/live").frames())


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
async def test_a_half_open_connection_ends_by_its_time_out(scheme: str) -> None:
    async with silent_server() as port:
        source = opened(f"{scheme}://127.0.0.1:{port}/live", open_timeout_s=0.5)
        with pytest.raises(SourceError, match=r"no (data came for|answer within) 0\.5 s"):
            await anext(source.frames())


async def test_closing_does_not_wait_for_a_half_open_connection_and_nothing_is_left_over() -> None:
    process = psutil.Process()
    async with silent_server() as port:
        for round_number in range(52):
            if round_number == 2:
                await until(lambda: threading.active_count() == 1 or not readers())
                handles = process.num_fds()
            source = opened(f"rtsp://127.0.0.1:{port}/live", open_timeout_s=0.3)
            async with watched(source):
                await until(lambda: bool(readers()))
                started_s = time.monotonic()
            assert time.monotonic() - started_s < 1.5
        await until(lambda: not readers())
        assert process.num_fds() <= handles + 50  # the silent server's own ends
    await until(lambda: process.num_fds() <= handles)


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("reader of")]
