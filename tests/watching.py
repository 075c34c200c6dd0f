"""Reading a source in a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from vision_agent import Frame, FrameSource, open_source
from vision_agent.demand import DemandAware
from vision_agent.sources.capture import CaptureSource
from vision_agent.views.watcher import Watcher

from .waiting import until


class Latest:
    """The newest frame of a source, and the number of frames so far."""

    def __init__(self) -> None:
        self.frame: Frame | None = None
        self.count = 0
        self.arrived = asyncio.Event()

    async def next(self) -> Frame:
        self.arrived.clear()
        await asyncio.wait_for(self.arrived.wait(), 10)
        assert self.frame is not None
        return self.frame

    async def more(self, count: int) -> None:
        for _ in range(count):
            await self.next()


@asynccontextmanager
async def watched(source: FrameSource) -> AsyncIterator[Latest]:
    latest = Latest()

    async def read() -> None:
        async for frame in source.frames():
            latest.frame = frame
            latest.count += 1
            latest.arrived.set()

    task = asyncio.create_task(read(), name="test reader")
    try:
        yield latest
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await source.aclose()


def opened(uri: str | Path, *, open_timeout_s: float = 10.0, read_timeout_s: float = 5.0) -> CaptureSource:
    source = open_source(str(uri))
    assert isinstance(source, CaptureSource) and isinstance(source, DemandAware)
    source.input = replace(source.input, open_timeout_s=open_timeout_s, read_timeout_s=read_timeout_s)
    return source


async def seen_again(watcher: Watcher, *, max_age_s: float, within_s: float) -> Frame:
    """Look until there is a fresh picture; before that, a turn would get the failure."""
    deadline_s = time.monotonic() + within_s
    while (frame := await watcher.fresh(max_age_s=max_age_s, max_wait_s=0.1)) is None:
        assert time.monotonic() < deadline_s, f"not seen again: {watcher.problem()}"
        await asyncio.sleep(0.01)
    return frame


async def demuxed(source: CaptureSource, count: int) -> None:
    """Wait until this many more packets were read."""

    def so_far() -> int:
        return 0 if source.statistics is None else source.statistics.demuxed

    wanted = so_far() + count
    await until(lambda: so_far() >= wanted)
