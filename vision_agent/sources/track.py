"""A room's video track as a source, under one view name whatever happens to the track."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import cast

from livekit import rtc

from ..frame import Frame


class TrackSource:
    """Yields the frames of whichever track is attached now.

    The view outlives its tracks: a muted, unpublished or switched camera and a participant who
    comes back are all the same source, which says meanwhile why it shows nothing.

    Args:
        name: The view's name, such as ``camera of alice``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._gone: str | None = "no camera was published yet"
        self._muted = False
        self._slot: Frame | None = None
        self._arrived = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def problem(self) -> str | None:
        """Why there are no frames now, or None if they flow."""
        return self._gone or ("it is muted" if self._muted else None)

    @property
    def gone(self) -> bool:
        """Whether no track is attached."""
        return self._gone is not None

    def attach(self, track: rtc.Track, *, muted: bool) -> None:
        """Read this track from now on, instead of the one before."""
        self._stop_pump()
        self._gone, self._muted = None, muted
        self._pump = asyncio.create_task(self._read(track), name=f"track of {self.name}")

    def detach(self, reason: str) -> None:
        """Stop reading; ``reason`` is what the model is told."""
        self._stop_pump()
        self._gone = reason

    def set_muted(self, muted: bool) -> None:
        """Note that the publisher muted or unmuted the track; what was seen before is not now."""
        self._muted = muted

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield the newest frame each time there is one."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._slot is not None:
                frame, self._slot = self._slot, None
                yield frame

    async def aclose(self) -> None:
        """Stop reading and wait for the stream to close; may be called twice."""
        self.detach("the view was closed")
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _stop_pump(self) -> None:
        pump, self._pump, self._slot = self._pump, None, None
        if pump is not None:
            pump.cancel()
            self._ending.add(pump)
            pump.add_done_callback(self._ending.discard)

    async def _read(self, track: rtc.Track) -> None:
        stream = rtc.VideoStream(track, capacity=1)
        try:
            async for event in stream:
                self._slot = Frame.from_video_frame(
                    event.frame,
                    captured_s=time.monotonic(),
                    source=self.name,
                    rotation_deg=90 * cast("int", event.rotation),
                )
                self._arrived.set()
        finally:
            with suppress(asyncio.CancelledError):
                await stream.aclose()
