"""Pictures for a realtime model, which takes frames as they come instead of one with each question."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from livekit import rtc

from .demand import Demand
from .errors import ImageError
from .imaging.draw import named
from .imaging.frame import Frame
from .imaging.jpeg import encode_jpeg, fit_frame
from .options import VisionOptions
from .turns.context import Shown, View, plain
from .views.eye import Eye
from .views.sampler import Sampler
from .views.vision import Vision

logger = logging.getLogger(__name__)

CHECK_S = 0.5
"""How often new views are looked for, and a view without frames is asked for the reason, in seconds."""
FIRST_S = 2.0
"""How long a view may take to show something before the model is told that it does not, in seconds."""

Push = Callable[[rtc.VideoFrame], None]
Tell = Callable[[str], Awaitable[None]]


class RealtimeFeed:
    """Hands each view's frames to a realtime model at the speaking and silent rates.

    When a view stops showing what is there now the model is told so in a line, and again when it
    goes on. Of several views each frame has its view's name written on it.

    Args:
        vision: The views; those that come later are fed too.
        push: Takes each small frame, I420 and upright.
        tell: Takes a line for the model to read.
    """

    def __init__(self, vision: Vision, *, push: Push, tell: Tell) -> None:
        self._vision = vision
        self._push = push
        self._tell = tell
        self._feeds: dict[Eye, _ViewFeed] = {}
        self._following: asyncio.Task[None] | None = None
        self._feeding: dict[Eye, asyncio.Task[None]] = {}
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vision-realtime")
        self._speaking = False

    def start(self) -> None:
        """Begin to feed."""
        self._following = asyncio.create_task(self._follow(), name="realtime feed")

    async def aclose(self) -> None:
        """Stop; may be called twice."""
        tasks = [*self._feeding.values(), *([self._following] if self._following else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._feeding.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def speech(self, speaking: bool) -> None:
        """Note that the user begins or ceases to speak; with the end comes the picture of that moment."""
        ended = self._speaking and not speaking
        self._speaking = speaking
        for feed in self._feeds.values():
            feed.speaking = speaking
            feed.due |= ended

    def typed(self) -> None:
        """Hand over what each view shows now: the question is answered at once. A newer one follows."""
        for feed in self._feeds.values():
            feed.hand_over_now()

    def shown(self) -> list[Shown]:
        """List what the model saw last, a picture a view, the newest first."""
        newest = [feed.newest for feed in self._feeds.values() if feed.newest is not None]
        found = []
        for frame in sorted(newest, key=lambda frame: -frame.captured_s):
            taken_s = time.time() - (time.monotonic() - frame.captured_s)
            url = encode_jpeg(frame).data_url()
            found.append(Shown(view=frame.source, data_url=url, taken_s=taken_s, turn=0))
        return found

    async def _follow(self) -> None:
        """Take up each view as it comes, and let it go when it is forgotten."""
        if not self._vision.eyes:
            await self._tell("[no picture: there is no camera]")
        while True:
            for eye in self._vision.eyes:
                if eye not in self._feeds:
                    feed = _ViewFeed(eye, self._vision.options, self._push, self._tell, self._executor)
                    feed.speaking = self._speaking
                    self._feeds[eye] = feed
                    name = f"realtime feed of {eye.source.name}"
                    self._feeding[eye] = asyncio.create_task(feed.run(), name=name)
            for eye in self._feeds.keys() - set(self._vision.eyes):
                del self._feeds[eye]
                self._feeding.pop(eye).cancel()
            for feed in self._feeds.values():
                feed.is_named = len(self._feeds) > 1
            await asyncio.sleep(CHECK_S)


class _ViewFeed:
    """Feeds one view: a frame is chosen before anything is converted, then scaled down in a thread."""

    def __init__(self, eye: Eye, options: VisionOptions, push: Push, tell: Tell, executor: Executor) -> None:
        self.newest: Frame | None = None
        """The last frame handed over, small."""
        self.speaking = False
        """Whether the user speaks."""
        self.due = False
        """Whether the next frame is to be handed over whatever the rate."""
        self.is_named = False
        """Whether the view's name is written on its frames."""
        self._eye = eye
        self._side_px = options.max_side_px
        self._sampler = Sampler(speaking_fps=options.speaking_fps, silent_fps=options.silent_fps)
        self._push = push
        self._tell = tell
        self._executor = executor
        self._told: str | None = None  # why there is no picture, as the model knows it

    async def run(self) -> None:
        watcher, seen = self._eye.watcher, None
        if watcher.latest is None and self._eye.source.problem is None:
            await watcher.arrival(within_s=FIRST_S)
        while True:
            frame, problem = watcher.latest, watcher.problem()
            if problem is not None:
                await self._tell_of(problem)
            elif frame is not None and frame is not seen:
                seen = frame
                if self._sampler.take(frame.captured_s, speaking=self.speaking) or self.due:
                    await self._hand_over(frame)
            if watcher.latest is frame:
                await watcher.arrival(within_s=CHECK_S)

    def hand_over_now(self) -> None:
        """Hand over the newest frame without delay, and the next one when it comes.

        A question is answered at once, so its picture is scaled here and now: 0.1 to 1 ms.
        """
        frame = self._eye.watcher.latest
        if frame is not None and self._eye.watcher.problem() is None:
            self._push_fitted(frame, self._fitted(frame))
        self.due = True

    async def _hand_over(self, frame: Frame) -> None:
        loop = asyncio.get_running_loop()
        small = await loop.run_in_executor(self._executor, self._fitted, frame)
        if self._push_fitted(frame, small):
            self.due = False
            if self._told is not None:
                self._told = None
                await self._tell(f"[{plain(self._eye.source.name)} shows what is there now, again]")

    def _fitted(self, frame: Frame) -> Frame | None:
        try:
            small = fit_frame(frame, max_side_px=self._side_px)
        except ImageError:
            return None
        return named(small, plain(self._eye.source.name)) if self.is_named else small

    def _push_fitted(self, frame: Frame, small: Frame | None) -> bool:
        if small is None:
            self._eye.watcher.reject(frame)
            logger.debug("frame skipped", extra={"source": self._eye.source.name})
            return False
        if self.newest is not None and small.captured_s < self.newest.captured_s:
            return True  # a question has overtaken it
        self.newest = small
        self._push(_video_frame(small))
        return True

    async def _tell_of(self, problem: str) -> None:
        if self._eye.watcher.demand is Demand.OFF:  # nobody wants a picture of it
            return
        reason = problem.partition(",")[0]  # without the seconds that pass
        if reason != self._told:
            self._told = reason
            await self._tell(View(name=self._eye.source.name, image=None, age_s=None, problem=problem).line())


def _video_frame(frame: Frame) -> rtc.VideoFrame:
    assert frame.planes_i420 is not None
    return rtc.VideoFrame(frame.width, frame.height, rtc.VideoBufferType.I420, frame.planes_i420.tobytes())
