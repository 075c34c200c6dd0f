"""The source's side of a publisher: reads it for as long as it takes, by the route it allows."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial

from ..backoff import Backoff
from ..demand import Demand, DemandAware
from ..errors import VisionAgentError
from ..imaging.frame import Frame
from ..sources import FrameSource
from ..sources.capture import CaptureSource
from ..sources.decoding import PictureDecoder
from .counts import PublishCounts
from .link import EncodedLink, NotPassable
from .passthrough import Passthrough
from .tracks import ENCODED, PASSTHROUGH

logger = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.25, 3.0


class Feed:
    """Owns the source: reads, tries again, and says by which route its pictures go.

    Args:
        source: What to read.
        counts: Where to count.
        encode: Have the SDK encode even what could pass through.
    """

    def __init__(self, source: FrameSource, *, counts: PublishCounts, encode: bool = False) -> None:
        self.source = source
        self.route: str | None = None
        """``passthrough`` or ``encoded``, once known."""
        self.why_encoded: str | None = None
        """Why what could be expected to pass through does not."""
        self.size_wh: tuple[int, int] | None = None
        """Width and height in pixels, once known."""
        self.failure: str | None = None
        """Why nothing comes now, or None."""
        self.tried_s = 0.0
        """When the source was last opened, in seconds of ``time.monotonic()``."""
        self.link: EncodedLink | None = None
        """Where encoded pictures go, or None while there is no track."""
        self.changed = asyncio.Event()
        """Set when the route or the state changed."""
        self.known = asyncio.Event()
        """Set while the route is known."""
        self.arrived = asyncio.Event()
        """Set when there is a frame to be taken."""
        self._counts = counts
        self._encode = encode
        self._slot: Frame | None = None
        self._watched = True
        self._loop = asyncio.get_running_loop()
        self._retry = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        self._frames = 0
        self._answered = False  # whether it could ever be opened
        self._flowed = False  # whether it gave anything since it was opened last
        self._sign = (0, 0.0)  # packets or frames, and when their number was last another one

    def take(self) -> Frame | None:
        """Take the newest frame of the encoded route, if there is one."""
        frame, self._slot = self._slot, None
        return frame

    def sign_s(self, now_s: float) -> float:
        """Return when the source last gave anything, as far as was looked; to be asked every few seconds."""
        statistics = self.source.statistics if isinstance(self.source, CaptureSource) else None
        count = statistics.demuxed if statistics is not None else self._frames
        if count != self._sign[0]:
            self._sign = (count, now_s)
        return self._sign[1]

    def set_watched(self, watched: bool) -> None:
        """Spend less on decoding while nobody watches."""
        self._watched = watched
        self._apply_demand()

    async def run(self) -> None:
        """Read until a recording ends.

        Raises:
            SourceError: The source could not be opened at the start.
        """
        while True:
            self._flowed = False
            self._choose_decoder()
            self.tried_s = time.monotonic()
            try:
                async for frame in self.source.frames():
                    self._take_in(frame)
                return
            except NotPassable as error:
                self.why_encoded, self.route, self._answered = str(error), None, True
                self.known.clear()
                logger.info("pictures can't pass through", extra={"reason": self.why_encoded})
                continue
            except VisionAgentError as error:
                if not self._answered:
                    raise
                if self._flowed:
                    self.why_encoded = None  # it may come back as another one
                self._counts.source_failures += 1
                self._say(failure=str(error))
            await asyncio.sleep(self._retry.next_s())

    async def aclose(self) -> None:
        """Let go of the source."""
        self.link = None
        await self.source.aclose()

    def _choose_decoder(self) -> None:
        if not isinstance(self.source, CaptureSource):
            return
        if self._encode or self.why_encoded is not None:
            self.source.decoder = PictureDecoder
        else:
            self.source.decoder = partial(
                Passthrough, link=lambda: self.link, opened=self._opened, counts=self._counts
            )

    def _opened(self, size_wh: tuple[int, int]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._flows, PASSTHROUGH, size_wh)

    def _take_in(self, frame: Frame) -> None:
        self._frames += 1
        self._flows(ENCODED, (frame.width, frame.height))
        self._counts.dropped += self._slot is not None
        self._slot = frame
        self.arrived.set()

    def _flows(self, route: str, size_wh: tuple[int, int]) -> None:
        self._retry.reset()
        self._answered = self._flowed = True
        if self.route != route or self.failure is not None:
            self.route = route
            self.size_wh = size_wh
            self.known.set()
            self._apply_demand()
            self._say(failure=None)

    def _say(self, *, failure: str | None) -> None:
        self.failure = failure
        self.changed.set()

    def _apply_demand(self) -> None:
        if isinstance(self.source, DemandAware):
            # what passes through is cheap; what is decoded goes down to a key picture now and then
            active = self._watched or self.route != ENCODED
            self.source.set_demand(Demand.ACTIVE if active else Demand.IDLE)
