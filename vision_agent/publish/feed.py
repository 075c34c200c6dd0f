"""The source's side of a publisher: reads the source until it ends, by the route that it allows."""

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
from ..views.lens import Lens
from .counts import PublishCounts
from .link import EncodedLink, NotPassable
from .passthrough import Passthrough
from .tracks import ENCODED, PASSTHROUGH

logger = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.25, 3.0
FILTERED = "a filter is set"


class Feed:
    """Owns the source: reads it, tries again after a failure, and decides the route of its pictures.

    Args:
        source: What to read.
        counts: The counts to update.
        encode: Let the SDK encode even a stream that could pass through.
        lens: Applies the filters to the pictures; with filters nothing passes through. None: no filters.
    """

    def __init__(
        self, source: FrameSource, *, counts: PublishCounts, encode: bool = False, lens: Lens | None = None
    ) -> None:
        self.source = source
        self.lens = lens or Lens()
        may_pass = isinstance(source, CaptureSource) and not encode
        self._why_never = FILTERED if self.lens.filters and may_pass else None
        self.route: str | None = None
        """``passthrough`` or ``encoded``, once known."""
        self.why_encoded = self._why_never
        """Why a stream that one expects to pass through does not, or None."""
        self.size_wh: tuple[int, int] | None = None
        """Width and height in pixels, once known."""
        self.failure: str | None = None
        """Why the source gives nothing now, or None."""
        self.tried_s = 0.0
        """When the source was last opened, in seconds of ``time.monotonic()``."""
        self.link: EncodedLink | None = None
        """Where encoded pictures go, or None while there is no track."""
        self.changed = asyncio.Event()
        """Set when the route or the state changed."""
        self.known = asyncio.Event()
        """Set while the route is known."""
        self.arrived = asyncio.Event()
        """Set when a frame is ready."""
        self._counts = counts
        self._encode = encode
        self._slot: Frame | None = None
        self._watched = True
        self._loop = asyncio.get_running_loop()
        self._retry = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        self._frames = 0
        self._answered = False  # whether it was ever opened successfully
        self._flowed = False  # whether it gave anything since it was last opened
        self._sign = (0, 0.0)  # number of packets or frames, and when it last changed

    def take(self) -> Frame | None:
        """Return the newest frame of the encoded route and empty the slot; None if there is none."""
        frame, self._slot = self._slot, None
        return frame

    def sign_s(self, now_s: float) -> float:
        """Return when the source last gave anything, as seen by these calls; call it every few seconds."""
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
                    self.why_encoded = self._why_never  # it may come back as another kind of stream
                self._counts.source_failures += 1
                self._say(failure=str(error))
            await asyncio.sleep(self._retry.next_s())

    async def aclose(self) -> None:
        """Close the source."""
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
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._flows, PASSTHROUGH, size_wh)

    def _take_in(self, frame: Frame) -> None:
        self._frames += 1
        self._flows(ENCODED, self.lens.size_wh(frame))
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
            # passing through is cheap; a decoded source needs only a key frame a second while nobody watches
            active = self._watched or self.route != ENCODED
            self.source.set_demand(Demand.ACTIVE if active else Demand.IDLE)
