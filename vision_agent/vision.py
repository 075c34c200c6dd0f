"""All views of a room or of one source: what is in view now?"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from livekit import rtc

from .context import View
from .demand import POLICIES
from .errors import ConfigError, check_range
from .frame import Frame
from .image import EncodedImage, encode_jpeg
from .room import RoomViews
from .sources import FrameSource, open_source
from .sources.track import TrackSource
from .watcher import Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionOptions:
    """How pictures are chosen and made."""

    max_age_s: float = 0.3
    """Oldest frame that counts as now, in seconds."""
    max_wait_s: float = 1.0
    """How long a turn waits for a fresh frame, in seconds."""
    max_side_px: int = 768
    """Longest side of a picture, in pixels; never scaled up."""
    quality: int = 80
    """JPEG quality, 1-100."""
    max_images: int = 3
    """Turn pictures kept in the chat context."""
    inference_detail: str = "auto"
    """What the provider is told: low, high or auto."""
    speaking_fps: float = 1.0
    """Pictures per second sampled while the user speaks."""
    silent_fps: float = 0.3
    """Pictures per second sampled while nobody speaks."""
    demand: str = "ready"
    """What a view costs while nobody asks: always (full), ready (a small view) or on_demand (nothing)."""
    grace_s: float = 5.0
    """How long a view stays at full size after the last question, in seconds."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: Names the setting, the value and the way out.
        """
        check_range("max_age_s", self.max_age_s, 0, 60, "seconds")
        check_range("max_wait_s", self.max_wait_s, 0, 60, "seconds")
        check_range("speaking_fps", self.speaking_fps, 0, 60, "frames per second")
        check_range("silent_fps", self.silent_fps, 0, 60, "frames per second")
        check_range("grace_s", self.grace_s, 0, 3600, "seconds")
        check_range("max_side_px", self.max_side_px, 16, 8192, "pixels")
        check_range("quality", self.quality, 1, 100)
        check_range("max_images", self.max_images, 1, 100, "pictures")
        if self.demand not in POLICIES:
            raise ConfigError(f"demand = {self.demand!r}: must be always, ready or on_demand")
        if self.inference_detail not in ("low", "high", "auto"):
            raise ConfigError(f"inference_detail = {self.inference_detail!r}: must be low, high or auto")


class Vision:
    """The eyes: an async context manager over the views of one source or of a room.

    Args:
        source: A source, or a URI for ``open_source``; None for the views of a room.
        options: How pictures are chosen and made.

    Raises:
        ConfigError: The URI can't be used.
    """

    def __init__(self, *, source: FrameSource | str | None, options: VisionOptions | None = None) -> None:
        self.options = options or VisionOptions()
        self._watchers: list[Watcher] = []
        self._room_views: RoomViews | None = None
        self.room: rtc.Room | None = None
        if source is not None:
            self._watchers.append(Watcher(open_source(source) if isinstance(source, str) else source))
        self._encoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vision-encode")

    @classmethod
    def for_room(cls, room: rtc.Room, *, options: VisionOptions | None = None) -> Vision:
        """Watch the cameras and screens of a room's remote participants, as they come and go."""
        vision = cls(source=None, options=options)
        vision.room = room
        vision._room_views = RoomViews(room, add=vision._add)
        return vision

    async def __aenter__(self) -> Vision:
        """Begin to watch."""
        if self._room_views is not None:
            self._room_views.start()
        for watcher in self._watchers:
            watcher.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close everything."""
        await self.aclose()

    async def aclose(self) -> None:
        """Stop watching and let go of every source; may be called twice."""
        if self._room_views is not None:
            self._room_views.stop()
        for watcher in self._watchers:
            await watcher.aclose()
        self._encoder.shutdown(wait=False, cancel_futures=True)

    async def look(self) -> list[View]:
        """Return what each view shows now: the newest good picture, or the reason why there is none.

        Views whose track is gone are told of only where no other view shows a picture.
        """
        views = list(await asyncio.gather(*(self._view(watcher) for watcher in self._watchers)))
        if any(view.image is not None for view in views):
            gone = {
                w.source.name for w in self._watchers if isinstance(w.source, TrackSource) and w.source.gone
            }
            views = [view for view in views if view.image is not None or view.name not in gone]
        return views

    def _add(self, source: TrackSource) -> None:
        watcher = Watcher(source)
        self._watchers.append(watcher)
        watcher.start()

    async def _view(self, watcher: Watcher) -> View:
        frame = await watcher.fresh(max_age_s=self.options.max_age_s, max_wait_s=self.options.max_wait_s)
        if frame is None:
            problem = watcher.problem() or "no current picture came in time"
            return View(name=watcher.source.name, image=None, age_s=None, problem=problem)
        age_s, now_s = time.monotonic() - frame.captured_s, time.time()
        image = await asyncio.get_running_loop().run_in_executor(self._encoder, self._encode, frame)
        return View(name=watcher.source.name, image=image, age_s=age_s, taken_s=now_s - age_s)

    def _encode(self, frame: Frame) -> EncodedImage:
        return encode_jpeg(frame, max_side_px=self.options.max_side_px, quality=self.options.quality)
