"""Cameras, streams and video files as sources, read by FFmpeg in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from ..demand import Demand
from ..imaging.frame import Frame
from ..waiting import within
from .decoding import OpenDecoder, PictureDecoder
from .input import Input
from .reader import Reader, ReaderStatistics

CLOSE_WAIT_S = 1.0
"""How long closing waits for the thread; a thread stuck in a silent network ends later, by its time-out."""


class CaptureSource:
    """Yields the newest frame of an input, and spends only what the demand allows.

    It never decodes motion JPEG. Of other codecs it decodes everything while ACTIVE, and at most one
    key frame a second while IDLE. When the demand rises to ACTIVE it decodes the packets it kept since
    the last key frame, so the newest frame is available immediately. OFF closes a live input and
    pauses a recording.

    Args:
        source: What to open.
        name: The view's name.
    """

    def __init__(self, source: Input, *, name: str) -> None:
        self.name = name
        self.input = source
        self.decoder: OpenDecoder = PictureDecoder
        """What makes frames from packets, from the next call of ``frames`` on."""
        self._demand = Demand.ACTIVE
        self._reader: Reader | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._size_wh: tuple[int, int] | None = None
        self._ended = False

    @property
    def problem(self) -> str | None:
        """Why no frames arrive now, or None if they arrive."""
        return "the recording has ended" if self._ended else None

    @property
    def full_size_wh(self) -> tuple[int, int] | None:
        """Width and height in pixels, or None before the input is open."""
        if self._reader is not None:
            self._size_wh = self._reader.full_size_wh or self._size_wh
        return self._size_wh

    @property
    def statistics(self) -> ReaderStatistics | None:
        """Counts of the latest reader, or None before the first."""
        return self._reader.statistics if self._reader is not None else None

    def set_demand(self, demand: Demand) -> None:
        """Spend as much as ``demand`` says from now on."""
        self._demand = demand
        if self._reader is not None:
            self._reader.set_demand(demand)

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield the newest frame each time there is one, until a recording ends.

        Raises:
            SourceError: The input can't be opened, or it stopped.
        """
        await self.aclose()
        self._ended = False
        self._loop = asyncio.get_running_loop()
        reader = self._reader = Reader(
            self.input, name=self.name, demand=self._demand, on_news=self._tell, decoder=self.decoder
        )
        reader.start()
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                finished = reader.finished  # before the last look: a frame may come with the end
                frame = reader.take()
                if frame is not None:
                    yield frame
                if finished:
                    break
        finally:
            reader.stop()
        if reader.error is not None:
            raise reader.error
        self._ended = True

    async def aclose(self) -> None:
        """Stop reading and wait until the thread has closed the input; safe to call twice."""
        reader = self._reader
        if reader is None or reader.finished:
            return
        reader.stop()
        with suppress(asyncio.TimeoutError):
            await within(CLOSE_WAIT_S, self._until_finished(reader))

    async def _until_finished(self, reader: Reader) -> None:
        while not reader.finished:
            await self._news.wait()
            self._news.clear()

    def _tell(self) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._news.set)
