"""One slot for the newest frame: what a turn gets from it, and what is ready before the turn ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vision_agent import Frame, SourceError, VisionOptions
from vision_agent.demand import Demand
from vision_agent.views.eye import Eye
from vision_agent.views.level import DemandLevel
from vision_agent.views.watcher import Watcher
from vision_agent.waiting import within

from .waiting import until

SMALL_WH, FULL_WH = (320, 180), (1280, 720)


class ScriptedSource:
    """Gives the frames that a test passes in, and records the requested demand."""

    name = "desk"
    full_size_wh: tuple[int, int] | None = FULL_WH

    def __init__(self) -> None:
        self.problem: str | None = None
        self.asked: list[Demand] = []
        self._queue: asyncio.Queue[Frame | Exception] = asyncio.Queue()

    def set_demand(self, demand: Demand) -> None:
        self.asked.append(demand)

    def give(self, size_wh: tuple[int, int], *, level: int = 128, age_s: float = 0.0) -> Frame:
        rgb = np.full((size_wh[1], size_wh[0], 3), level, np.uint8)
        frame = Frame.from_rgb(rgb, captured_s=time.monotonic() - age_s, source=self.name)
        self._queue.put_nowait(frame)
        return frame

    def break_off(self, error: Exception) -> None:
        self._queue.put_nowait(error)

    async def frames(self) -> AsyncIterator[Frame]:
        while True:
            given = await self._queue.get()
            if isinstance(given, Exception):
                raise given
            yield given

    async def aclose(self) -> None:
        pass


@pytest.fixture
async def source() -> ScriptedSource:
    return ScriptedSource()


@pytest.fixture
async def watcher(source: ScriptedSource) -> AsyncIterator[Watcher]:
    watcher = Watcher(source, level=DemandLevel(policy="ready", grace_s=0.2))
    watcher.start()
    yield watcher
    await watcher.aclose()


async def test_the_newest_frame_wins_and_the_others_are_counted(
    source: ScriptedSource, watcher: Watcher
) -> None:
    for _ in range(3):
        source.give(SMALL_WH)
    newest = source.give(SMALL_WH)
    await until(lambda: watcher.statistics.received == 4)
    assert await watcher.fresh(max_age_s=1, max_wait_s=0) is newest
    assert (watcher.statistics.dropped, watcher.statistics.used) == (3, 1)


async def test_a_frame_that_should_have_a_successor_by_now_is_not_taken_before_it(
    source: ScriptedSource, watcher: Watcher
) -> None:
    source.give(FULL_WH, age_s=3.04)
    source.give(FULL_WH, age_s=3.0)
    await until(lambda: watcher.statistics.received == 2)
    asked = asyncio.create_task(watcher.fresh(max_age_s=9, max_wait_s=5))
    await asyncio.sleep(0)
    newest = source.give(FULL_WH)
    assert await asked is newest


async def test_a_successor_that_does_not_come_is_not_waited_for_long_nor_a_slow_cameras_at_all(
    source: ScriptedSource, watcher: Watcher
) -> None:
    source.give(FULL_WH, age_s=3.04)
    late = source.give(FULL_WH, age_s=3.0)
    await until(lambda: watcher.statistics.received == 2)
    begun_s = time.monotonic()
    assert await watcher.fresh(max_age_s=9, max_wait_s=5) is late
    assert 0.04 < time.monotonic() - begun_s < 2
    slow = source.give(FULL_WH, age_s=1.0)  # two seconds after the one before
    await until(lambda: watcher.statistics.received == 3)
    asked = asyncio.create_task(watcher.fresh(max_age_s=9, max_wait_s=5))
    await asyncio.sleep(0)
    assert asked.done() and await asked is slow


async def test_a_larger_frame_is_waited_for(source: ScriptedSource, watcher: Watcher) -> None:
    source.give(SMALL_WH)
    await until(lambda: watcher.latest is not None)
    watcher.touch()
    asked = asyncio.create_task(watcher.fresh(max_age_s=5, max_wait_s=5, side_px=768))
    source.give(SMALL_WH)
    await until(lambda: watcher.statistics.received == 2)
    assert not asked.done()
    full = source.give(FULL_WH)
    assert await asked is full
    assert source.asked == [Demand.IDLE, Demand.ACTIVE]


async def test_a_layer_that_never_comes_is_not_waited_for_longer_than_said(
    source: ScriptedSource, watcher: Watcher
) -> None:
    watcher.hold()
    begun_s = time.monotonic()
    small = source.give(SMALL_WH)
    assert await watcher.fresh(max_age_s=5, max_wait_s=0.3, side_px=768) is small
    assert 0.2 < time.monotonic() - begun_s < 2
    # while the view is held it is not waited for again
    begun_s = time.monotonic()
    assert await watcher.fresh(max_age_s=5, max_wait_s=0.3, side_px=768) is small
    assert time.monotonic() - begun_s < 0.2


async def test_small_frames_after_a_break_are_not_taken_for_all_there_is(
    source: ScriptedSource, watcher: Watcher
) -> None:
    """A camera that was muted or switched starts small, even if full size was requested long ago."""
    watcher.hold()
    source.give(FULL_WH)
    await until(lambda: watcher.latest is not None)
    assert await watcher.fresh(max_age_s=5, max_wait_s=0, side_px=768) is watcher.latest
    source.give(SMALL_WH)
    await until(lambda: watcher.statistics.received == 2)
    asked = asyncio.create_task(watcher.fresh(max_age_s=5, max_wait_s=5, side_px=768))
    await asyncio.sleep(0)
    full = source.give(FULL_WH)
    assert await asked is full


async def test_nothing_fresh_is_nothing_and_the_reason_is_told(
    source: ScriptedSource, watcher: Watcher
) -> None:
    source.give(SMALL_WH)
    await until(lambda: watcher.latest is not None)
    assert await watcher.fresh(max_age_s=0, max_wait_s=0.05) is None
    source.break_off(SourceError("desk: unplugged: plug it in again"))
    await until(lambda: watcher.statistics.failures == 1)
    begun_s = time.monotonic()
    assert await watcher.fresh(max_age_s=0, max_wait_s=5) is None
    assert time.monotonic() - begun_s < 1 and watcher.problem() == "desk: unplugged: plug it in again"
    source.give(SMALL_WH)
    await until(lambda: watcher.problem() is None)


async def test_whatever_a_source_raises_it_is_told_and_tried_again(
    source: ScriptedSource, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    source.break_off(ZeroDivisionError("a bug in somebody's source"))
    await until(lambda: watcher.statistics.failures == 1)
    assert watcher.problem() == "it failed with ZeroDivisionError"
    assert "a bug in somebody's source" in caplog.text  # for the person who has to fix it
    source.give(SMALL_WH)
    await until(lambda: watcher.problem() is None)


async def test_a_fault_that_lasts_is_logged_with_its_reason_and_once(
    source: ScriptedSource, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    for reason in ("unplugged", "unplugged", "busy"):
        source.break_off(SourceError(f"desk: {reason}"))
    await until(lambda: watcher.statistics.failures == 3)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [vars(record)["reason"] for record in warnings] == ["desk: unplugged", "desk: busy"]


async def test_demand_falls_after_the_grace_time(source: ScriptedSource, watcher: Watcher) -> None:
    watcher.touch()
    await until(lambda: source.asked == [Demand.IDLE, Demand.ACTIVE, Demand.IDLE])


async def test_at_the_end_of_a_turn_the_picture_is_ready(source: ScriptedSource) -> None:
    with ThreadPoolExecutor(max_workers=1) as executor:
        eye = Eye(source, options=VisionOptions(), executor=executor)
        eye.start()
        eye.hold()  # the user begins to speak
        try:
            source.give(FULL_WH)
            await until(lambda: eye.encoded == 1)
            newest = source.give(FULL_WH, level=60)
            await until(lambda: eye.encoded == 2)
            executor.shutdown()  # from here on nothing can be encoded
            view = await eye.look()
            assert view.image is not None and view.age_s is not None
            assert abs(time.monotonic() - newest.captured_s - view.age_s) < 0.1
        finally:
            eye.release()
            await eye.aclose()


async def test_a_frame_that_is_broken_is_put_aside_and_counted(source: ScriptedSource) -> None:
    with ThreadPoolExecutor(max_workers=1) as executor:
        eye = Eye(source, options=VisionOptions(max_side_px=512, max_wait_s=3), executor=executor)
        eye.start()
        try:
            torn, (width, height) = b"\xff\xd8torn\xff\xd9", FULL_WH
            bad = Frame(width=width, height=height, captured_s=time.monotonic(), jpeg=torn)
            source._queue.put_nowait(bad)
            await until(lambda: eye.watcher.latest is bad)
            looked = asyncio.create_task(eye.look())
            await until(lambda: eye.watcher.statistics.bad == 1)
            source.give(FULL_WH)
            assert (await looked).image is not None
        finally:
            await eye.aclose()


async def test_a_camera_whose_frames_are_all_broken_is_told_and_holds_no_turn_up(
    source: ScriptedSource,
) -> None:
    torn, (width, height) = b"\xff\xd8torn\xff\xd9", FULL_WH
    with ThreadPoolExecutor(max_workers=1) as executor:
        eye = Eye(source, options=VisionOptions(max_side_px=512, max_wait_s=0.3), executor=executor)
        eye.start()
        looked = asyncio.create_task(eye.look())
        try:
            while not looked.done():
                bad = Frame(width=width, height=height, captured_s=time.monotonic(), jpeg=torn)
                source._queue.put_nowait(bad)
                await asyncio.wait({looked}, timeout=0.02)
                assert eye.watcher.statistics.received < 250, "5 s, and still looking"
            assert (await looked).problem == "its pictures are broken"
        finally:
            await eye.aclose()


@pytest.mark.parametrize("turns_of_the_loop", range(8))
async def test_an_eye_closes_though_a_frame_comes_at_that_very_moment(
    source: ScriptedSource, turns_of_the_loop: int
) -> None:
    """Before Python 3.12 ``asyncio.wait_for`` swallows a cancellation that comes together with a result."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        eye = Eye(source, options=VisionOptions(), executor=executor)
        eye.start()
        eye.hold()
        source.give(SMALL_WH)
        await until(lambda: eye.watcher.latest is not None and not eye.watcher._arrived.is_set())
        source.give(SMALL_WH)
        for _ in range(turns_of_the_loop):
            await asyncio.sleep(0)
        await within(5, eye.aclose())
