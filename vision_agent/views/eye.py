"""One view as a turn sees it: the newest good frame of a watcher, made into a picture."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Executor

from ..errors import ImageError
from ..imaging.frame import Frame
from ..imaging.jpeg import EncodedImage, encode_jpeg
from ..options import VisionOptions
from ..sources import FrameSource
from ..turns.context import View
from .level import DemandLevel
from .watcher import Watcher

logger = logging.getLogger(__name__)

RESTS = 1
"""Pictures made ahead of time take one part of the encoding thread's time, and leave so many free."""


class Eye:
    """Watches one source and makes pictures of it, ahead of time while a question is coming.

    Args:
        source: What to watch; closed together with the eye.
        options: How pictures are chosen and made.
        executor: Where frames are encoded.
    """

    def __init__(self, source: FrameSource, *, options: VisionOptions, executor: Executor) -> None:
        level = DemandLevel(policy=options.demand, grace_s=options.grace_s)
        self.watcher = Watcher(source, level=level)
        self.source = source
        self.encoded = 0
        """Pictures encoded since the start."""
        self._options = options
        self._executor = executor
        self._keep_s = options.max_age_s / 2  # oldest that a picture made ahead of time may be
        self._holds = 0
        self._ready: tuple[Frame, EncodedImage] | None = None
        self._preparing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self.watcher.start()

    async def aclose(self) -> None:
        """Stop, and close the source; may be called twice."""
        preparing, self._preparing = self._preparing, None
        if preparing is not None:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
        await self.watcher.aclose()

    def hold(self) -> None:
        """Say that a question is coming: full size from now on, a fresh picture always ready."""
        self._holds += 1
        self.watcher.hold()
        if self._preparing is None or self._preparing.done():
            name = f"prepare {self.source.name}"
            self._preparing = asyncio.create_task(self._prepare(), name=name)

    def release(self) -> None:
        """Take back one ``hold``; the grace time begins."""
        self._holds = max(0, self._holds - 1)
        self.watcher.release()

    async def opened(self, *, within_s: float) -> None:
        """Wait for the first frame, whatever the view costs at rest.

        Raises:
            SourceError: The source failed, or gave none in time.
        """
        self.watcher.hold()
        try:
            await self.watcher.opened(within_s=within_s)
        finally:
            self.watcher.release()

    async def look(self) -> View:
        """Return what is in view now: the newest good picture, or the reason why there is none."""
        self.watcher.hold()
        try:
            return await self._look()
        finally:
            self.watcher.release()

    async def _look(self) -> View:
        ready = self._ready
        if ready is not None and self.source.problem is None and _age_s(ready[0]) <= self._keep_s:
            return self._view(*ready)
        deadline_s = time.monotonic() + self._options.max_wait_s
        while True:
            frame = await self.watcher.fresh(
                max_age_s=self._options.max_age_s,
                max_wait_s=self._options.max_wait_s,
                side_px=self._options.max_side_px,
            )
            if frame is None:
                problem = self.watcher.problem() or "no current picture came in time"
                return View(name=self.source.name, image=None, age_s=None, problem=problem)
            image = await self._picture(frame)
            if image is not None:
                return self._view(frame, image)
            if time.monotonic() >= deadline_s:
                return View(name=self.source.name, image=None, age_s=None, problem="its pictures are broken")

    def _view(self, frame: Frame, image: EncodedImage) -> View:
        age_s = _age_s(frame)
        return View(name=self.source.name, image=image, age_s=age_s, taken_s=time.time() - age_s)

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
                        frame, self._options.max_side_px, max_wait_s=self._options.max_wait_s
                    )
                    image = await self._picture(frame) if enough else None
                    self._ready = None if image is None else (frame, image)
                    # with many views or a slow machine, no more than a part of the executor's time
                    await asyncio.sleep((time.monotonic() - begun_s) * RESTS)
                if self.watcher.latest is frame:
                    await self.watcher.arrival(within_s=self._keep_s + 0.001)
        finally:
            self._ready = None

    async def _picture(self, frame: Frame) -> EncodedImage | None:
        """Encode in the executor; a frame that can't be encoded is put aside."""
        loop = asyncio.get_running_loop()
        try:
            image = await loop.run_in_executor(self._executor, self._encode, frame)
        except ImageError:
            self.watcher.reject(frame)
            logger.debug("frame skipped", extra={"source": self.source.name})
            return None
        self.encoded += 1
        return image

    def _encode(self, frame: Frame) -> EncodedImage:
        return encode_jpeg(frame, max_side_px=self._options.max_side_px, quality=self._options.quality)


def _age_s(frame: Frame) -> float:
    return time.monotonic() - frame.captured_s
