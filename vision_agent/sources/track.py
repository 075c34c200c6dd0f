"""A room's video track as a source, under one view name even when the track changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import cast

from livekit import rtc

from ..demand import Demand
from ..errors import ImageError
from ..imaging.frame import Frame
from ..lasting import lasting
from ..waiting import either

logger = logging.getLogger(__name__)

_QUALITY = {
    Demand.IDLE: rtc.VideoQuality.VIDEO_QUALITY_LOW,
    Demand.ACTIVE: rtc.VideoQuality.VIDEO_QUALITY_HIGH,
}

IDLE_INTERVAL_S = 1.0
"""Time between two frames at IDLE, in seconds; no stream is open in between, which saves a third."""
APART_S = 0.1
"""Shortest time from unsubscribing a track to subscribing to it again, in seconds."""
ASK_AGAIN_S = 2.0
"""How long a server may take to deliver a track, in seconds; then we unsubscribe and subscribe again."""


class TrackSource:
    """Yields the frames of whichever track is published now.

    The view outlives its tracks: it stays the same source when a camera is muted, unpublished or
    switched, and when a participant comes back. While no track sends frames, ``problem`` says why.

    Demand OFF unsubscribes. IDLE asks for the lowest simulcast layer and takes one frame of it a second.
    ACTIVE takes every frame of the highest layer. A track without simulcast sends its only layer.

    Args:
        name: The view's name, such as ``camera of alice``.
        owner: Identity of the participant who publishes it.
    """

    def __init__(self, name: str, *, owner: str = "") -> None:
        self.name = name
        self.owner = owner
        self.dropped = 0
        """Frames replaced by a newer one before they were read."""
        self.bad = 0
        """Frames that could not be read and were skipped."""
        self._publication: rtc.RemoteTrackPublication | None = None
        self._gone: str | None = "no camera was published yet"
        self._muted = False
        self._demand: Demand | None = None  # until it is set, we ask the server for nothing
        self._wanted: bool | None = None  # our last request to the server: subscribe or not
        self._again: asyncio.TimerHandle | None = None
        self._left_s = float("-inf")  # when we last unsubscribed
        self._slot: Frame | None = None
        self._arrived = asyncio.Event()
        self._raised = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def problem(self) -> str | None:
        """Why no frames arrive now, or None if they arrive."""
        return self._gone or ("it is muted" if self._muted else None)

    @property
    def gone(self) -> bool:
        """Whether no track is published."""
        return self._gone is not None

    @property
    def full_size_wh(self) -> tuple[int, int] | None:
        """Width and height of the published track's highest layer, in pixels, or None if unknown."""
        publication = self._publication
        if publication is None or not publication.width or not publication.height:
            return None
        return publication.width, publication.height

    def set_demand(self, demand: Demand) -> None:
        """Subscribe and choose a layer, or unsubscribe."""
        self._demand = demand
        if demand is Demand.ACTIVE:
            self._raised.set()
        if self._publication is not None:
            self._apply(self._publication)

    def _apply(self, publication: rtc.RemoteTrackPublication) -> None:
        demand = self._demand
        if demand is None:
            return
        if self._wanted != (demand is not Demand.OFF):
            self._wanted = demand is not Demand.OFF
            self._ask(publication)
        if demand in _QUALITY and publication.simulcasted:
            publication.set_video_quality(_QUALITY[demand])

    def _ask(self, publication: rtc.RemoteTrackPublication) -> None:
        """Subscribe or unsubscribe.

        A server loses a subscription request that follows an unsubscription too closely. So we keep
        them apart, and ask again for a track that does not arrive.
        """
        self._ask_no_more()
        now_s, loop = time.monotonic(), asyncio.get_running_loop()
        if not self._wanted:
            publication.set_subscribed(False)
            self._left_s = now_s
        elif now_s < self._left_s + APART_S:
            self._again = loop.call_later(self._left_s + APART_S - now_s, self._ask, publication)
        else:
            publication.set_subscribed(True)
            if self._pump is None:
                self._again = loop.call_later(ASK_AGAIN_S, self._ask_afresh, publication)

    def _ask_afresh(self, publication: rtc.RemoteTrackPublication) -> None:
        publication.set_subscribed(False)
        self._left_s = time.monotonic()
        self._ask(publication)

    def _ask_no_more(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def follows(self, publication: rtc.TrackPublication) -> bool:
        """Return whether the source follows this publication."""
        return self._publication is publication

    def published(self, publication: rtc.RemoteTrackPublication) -> None:
        """Follow this publication from now on; unsubscribe from the one before."""
        self._ask_no_more()
        self._stop_pump()
        if self._publication is not None and self._publication.sid != publication.sid:
            self._publication.set_subscribed(False)
        self._publication, self._gone, self._muted = publication, None, publication.muted
        self._wanted = publication.subscribed or None
        self._apply(publication)

    def subscribed(self, track: rtc.Track) -> None:
        """Read this track of the followed publication."""
        self._ask_no_more()
        self._stop_pump()
        if self._publication is None:
            return
        if self._demand is Demand.OFF:  # the track was already on its way when we unsubscribed
            self._ask(self._publication)
            return
        name = f"track of {self.name}"
        self._pump = asyncio.create_task(lasting(partial(self._read, track), name=name), name=name)
        self._apply(self._publication)  # a layer can be chosen only once subscribed

    def unsubscribed(self) -> None:
        """Stop reading; if the track is still wanted, ask for it again."""
        self._stop_pump()
        if self._publication is not None and self._wanted:
            self._left_s = time.monotonic()
            self._ask(self._publication)

    def unpublished(self, reason: str) -> None:
        """Stop until the next publication; the model reads ``reason``."""
        self._ask_no_more()
        self._stop_pump()
        self._publication, self._gone = None, reason

    def set_muted(self, muted: bool) -> None:
        """Note that the publisher muted or unmuted the track; frames from before are not current."""
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
        """Stop reading and wait for the stream to close; safe to call twice."""
        self.unpublished("the view was closed")
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _stop_pump(self) -> None:
        pump, self._pump, self._slot = self._pump, None, None
        if pump is not None:
            pump.cancel()
            self._ending.add(pump)
            pump.add_done_callback(self._ending.discard)

    async def _read(self, track: rtc.Track) -> None:
        # check here, too, whether this task was stopped: closing a stream may swallow the cancellation
        while await self._read_until_idle(track) and self._pump is asyncio.current_task():
            self._raised.clear()
            if self._demand is Demand.IDLE:  # it may have been raised while the stream was closed
                await either(self._raised, timeout_s=IDLE_INTERVAL_S)

    async def _read_until_idle(self, track: rtc.Track) -> bool:
        """Read every frame, but at IDLE only one. Return False once the track has ended."""
        stream = rtc.VideoStream(track, capacity=1)
        try:
            async for event in stream:
                self._take(event)
                if self._demand is Demand.IDLE:
                    return True
            return False
        finally:
            with suppress(asyncio.CancelledError):
                await stream.aclose()

    def _take(self, event: rtc.VideoFrameEvent) -> None:
        try:
            frame = Frame.from_video_frame(
                event.frame,
                captured_s=time.monotonic(),
                source=self.name,
                rotation_deg=90 * cast("int", event.rotation),
            )
        except ImageError:
            self.bad += 1
            logger.debug("frame skipped", extra={"source": self.name})
            return
        self.dropped += self._slot is not None
        self._slot = frame
        self._arrived.set()
