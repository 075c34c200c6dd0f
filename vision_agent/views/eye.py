"""One view of a turn: makes a sighting from the newest good frame of a watcher."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Executor

from ..errors import ImageError
from ..imaging.crop import Region, check_box
from ..imaging.frame import Frame
from ..imaging.jpeg import EncodedImage
from ..options import VisionOptions
from ..record.sighting import Choice, Purpose, Sighting
from ..sources import FrameSource
from ..waiting import ended
from .filters import FilterFailed
from .lens import Lens
from .level import DemandLevel
from .watcher import Watcher

logger = logging.getLogger(__name__)

RESTS = 1
"""After a picture made ahead of time the encoding thread rests this many times as long as it worked."""


class Eye:
    """Watches one source and makes pictures of it; while a question is coming, ahead of time.

    Args:
        source: What to watch; the eye closes it.
        options: How pictures are chosen.
        lens: What makes the pictures.
        executor: Where frames are encoded.
        owner: Identity of the participant whose view it is, or empty.
    """

    def __init__(
        self,
        source: FrameSource,
        *,
        options: VisionOptions,
        lens: Lens | None = None,
        executor: Executor,
        owner: str = "",
    ) -> None:
        level = DemandLevel(policy=options.demand, grace_s=options.grace_s)
        self.watcher = Watcher(source, level=level)
        self.source = source
        self.lens = lens or Lens(max_side_px=options.max_side_px, quality=options.quality)
        self.owner = owner
        self.encoded = 0
        """Pictures encoded since the start."""
        self._options = options
        self._executor = executor
        self._keep_s = options.max_age_s / 2  # greatest age of a picture made ahead of time
        self._holds = 0
        self._ready: tuple[Frame, EncodedImage] | None = None
        self._broken = ""  # why the last frame could not be made into a picture
        self._preparing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start watching."""
        self.watcher.start()

    async def aclose(self) -> None:
        """Stop, and close the source; safe to call twice."""
        await ended(self._preparing)
        await self.watcher.aclose()

    def hold(self) -> None:
        """Note that a question is coming: full size from now on, and always a fresh picture ready."""
        self._holds += 1
        self.watcher.hold()
        if self._preparing is None or self._preparing.done():
            self._preparing = asyncio.create_task(self._prepare(), name=f"prepare {self.source.name}")
            self._preparing.add_done_callback(self._prepared)

    def release(self) -> None:
        """Undo one ``hold``; the grace time begins."""
        self._holds = max(0, self._holds - 1)
        self.watcher.release()

    async def opened(self, *, within_s: float) -> None:
        """Wait for the first frame, whatever the view costs at rest.

        Raises:
            SourceError: The source failed, or gave no frame in time.
        """
        self.watcher.hold()
        try:
            await self.watcher.opened(within_s=within_s)
        finally:
            self.watcher.release()

    def prepared(self, *, purpose: Purpose = "turn") -> Sighting | None:
        """Return what was encoded ahead of time, without a wait; None if that is not there or too old."""
        ready = self._ready
        if ready is None or self.source.problem is not None or not self._is_young(ready[0]):
            return None
        if not self._holds:  # else the demand stays up anyway
            self.watcher.touch()
        self.watcher.looked_at(ready[0])
        return self._sighting(*ready, purpose, "prepared")

    async def look(self, *, purpose: Purpose = "turn", crop: Region | None = None) -> Sighting:
        """Return what is in view now: the newest good picture, or the reason why there is none.

        Args:
            purpose: What the picture is for.
            crop: The part to show, in shares of the upright picture; None: all of it.

        Raises:
            ImageError: The crop is empty or outside the picture.
        """
        if crop is not None:
            check_box(crop, "crop")
        self.watcher.hold()
        try:
            return await self._look(purpose, crop)
        finally:
            self.watcher.release()

    def nothing(self, problem: str, *, purpose: Purpose = "turn") -> Sighting:
        """Return a sighting of this view without a picture.

        Args:
            problem: Why there is none, in a few words.
            purpose: What the picture was wanted for.
        """
        return Sighting(
            view=self.source.name, owner=self.owner, purpose=purpose, problem=problem, chosen="none"
        )

    async def _look(self, purpose: Purpose, crop: Region | None) -> Sighting:
        if crop is None and (ready := self.prepared(purpose=purpose)) is not None:
            return ready
        at_hand = self.watcher.latest
        deadline_s = time.monotonic() + self._options.max_wait_s
        while True:
            frame = await self.watcher.fresh(
                max_age_s=self._options.max_age_s,
                max_wait_s=self._options.max_wait_s,
                side_px=self.lens.max_side_px,
            )
            if frame is None:
                problem = self.watcher.problem() or "no current picture came in time"
                return self.nothing(problem, purpose=purpose)
            image = await self._picture(frame, crop)
            if image is not None:
                return self._sighting(frame, image, purpose, "newest" if frame is at_hand else "awaited")
            if time.monotonic() >= deadline_s:
                return self.nothing(self._broken, purpose=purpose)

    def _is_young(self, frame: Frame) -> bool:
        return time.monotonic() - frame.captured_s <= self._keep_s

    def _sighting(self, frame: Frame, image: EncodedImage, purpose: Purpose, chosen: Choice) -> Sighting:
        now_s = time.monotonic()
        return Sighting(
            view=self.source.name,
            owner=self.owner,
            purpose=purpose,
            image=image,
            captured_s=frame.captured_s,
            captured_unix_s=time.time() - (now_s - frame.captured_s),
            chosen_s=now_s,
            chosen=chosen,
        )

    async def _prepare(self) -> None:
        """Encode each frame that comes, the newest first, while a question may come."""
        until_s = time.monotonic()
        try:
            while self._holds or time.monotonic() < until_s:
                if self._holds:
                    until_s = time.monotonic() + self._options.grace_s
                frame, begun_s = self.watcher.latest, time.monotonic()
                if frame is None or self.source.problem is not None:
                    self._ready = None
                elif self._ready is None or frame is not self._ready[0]:
                    enough = self.watcher.is_enough(
                        frame, self.lens.max_side_px, max_wait_s=self._options.max_wait_s
                    )
                    image = await self._picture(frame, None) if enough else None
                    self._ready = None if image is None else (frame, image)
                    # with many views or on a slow machine, use only a part of the executor's time
                    await asyncio.sleep((time.monotonic() - begun_s) * RESTS)
                if self.watcher.latest is frame:
                    await self.watcher.arrival(within_s=self._keep_s + 0.001)
        finally:
            self._ready = None

    def _prepared(self, task: asyncio.Task[None]) -> None:
        """Log an error that ended the task; a look then makes its own picture, the next hold a new task."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("preparing failed", extra={"source": self.source.name}, exc_info=error)

    async def _picture(self, frame: Frame, crop: Region | None) -> EncodedImage | None:
        """Encode in the executor; skip a frame that can't be encoded."""
        loop = asyncio.get_running_loop()
        try:
            image = await loop.run_in_executor(self._executor, self._encode, frame, crop)
        except ImageError as error:
            self.watcher.reject(frame)
            self._broken = str(error) if isinstance(error, FilterFailed) else "its pictures are broken"
            logger.debug("frame skipped", extra={"source": self.source.name, "reason": str(error)})
            return None
        self.encoded += 1
        return image

    def _encode(self, frame: Frame, crop: Region | None) -> EncodedImage:
        return self.lens.jpeg(frame, crop=crop)
