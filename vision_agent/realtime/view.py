"""``ViewFeed``: sends the pictures of one view to a realtime model."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from ..backoff import Backoff
from ..demand import Demand
from ..errors import ImageError
from ..imaging.draw import named
from ..imaging.frame import Frame
from ..imaging.jpeg import EncodedImage, encode_jpeg
from ..options import VisionOptions
from ..record.sighting import Sighting
from ..sources.track import TrackSource
from ..turns import lines
from ..views.eye import Eye
from ..views.sampler import Sampler
from .outlet import Outlet, Picture
from .telling import Telling

logger = logging.getLogger(__name__)

CHECK_S = 0.5
"""How often we ask a view without frames for the reason, in seconds."""
FIRST_S = 2.0
"""How long a new view may take to show something before the model reads that it shows nothing, in seconds."""
RETRY_FIRST_S, RETRY_MAX_S = 0.01, 2.0
"""How long we wait for the next attempt if a picture did not reach the model, in seconds."""


class ViewFeed:
    """Sends the pictures of one view: it chooses a frame before it converts anything.

    Args:
        eye: The view.
        options: How to choose pictures.
        outlet: Takes the pictures.
        telling: Tells the model when the view no longer shows what is there, and when it works again.
        executor: Makes the pictures.
    """

    def __init__(
        self, eye: Eye, *, options: VisionOptions, outlet: Outlet, telling: Telling, executor: Executor
    ) -> None:
        self.speaking = False
        """Whether the user speaks."""
        self.is_named = False
        """Whether the view's name is written on its pictures."""
        self._eye = eye
        self._watcher = eye.watcher
        self._name = eye.source.name
        self._options = options
        self._outlet = outlet
        self._telling = telling
        self._executor = executor
        self._sampler = Sampler(speaking_fps=options.speaking_fps, silent_fps=options.silent_fps)
        self._wake = asyncio.Event()
        self._is_due = False  # send a picture, whatever the rate is
        self._may_repeat = False  # there was a question since the last picture: the same frame counts as new
        self._is_small = False  # the last picture was requested, and a larger one is on its way
        self._picture: Picture | None = None  # the last picture that the model got
        self._captured_s = float("-inf")  # when the frame of the last picture came
        self._side_px = 0  # longest side of that frame
        self._failures: set[str] = set()
        self._retry = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        self._retry_s = 0.0  # time of the next attempt, in seconds of time.monotonic()

    async def run(self) -> None:
        """Send pictures until cancelled."""
        if self._watcher.latest is None and self._eye.source.problem is None:
            await self._watcher.arrival(within_s=FIRST_S)
        while True:
            self._wake.clear()
            frame, problem = self._watcher.latest, self._watcher.problem()
            if problem is not None:
                self._tell_of(problem)
                self._is_due |= self._has_rate_at_rest()  # send the first frame after the problem
            elif frame is not None:
                if self._is_wanted(frame):
                    await self._hand_over(frame)
                if not self._has_rate_at_rest():
                    self._tell_of_return()
            await self._until_next(frame)

    def speech_began(self) -> None:
        """Note that the user speaks; a server that decides the turns gets a picture at once."""
        self.speaking = True
        self._is_due |= self._outlet.policy == "items_while_speaking"
        self._wake.set()

    def speech_ended(self) -> None:
        """Send the picture of this moment."""
        self.speaking = False
        self._is_due = self._may_repeat = True
        self._wake.set()

    def hand_over_now(self) -> None:
        """Send the newest frame before this returns, and a newer or larger one later if there is one.

        The model answers a typed question at once, so we make its picture here, on the event loop. This
        takes about a millisecond, plus the time of the view's filters.
        """
        self._watcher.touch()
        self._is_due = self._may_repeat = True
        frame = self._watcher.latest
        if frame is not None and self._watcher.problem() is None:
            self._give(frame, self._made(frame))
            self._is_due |= self._outlet.policy == "stream"
        self._wake.set()

    async def sighting(self) -> Sighting | None:
        """Return the last picture of this view that the model got, or None if it got none."""
        picture = self._picture
        if picture is None or picture.frame is None:
            return None if picture is None else picture.sighting
        loop = asyncio.get_running_loop()
        image = await loop.run_in_executor(self._executor, self._jpeg, picture.frame)
        encoded = replace(picture, sighting=replace(picture.sighting, image=image), frame=None)
        if self._picture is picture:
            self._picture = encoded
        return encoded.sighting

    def _is_wanted(self, frame: Frame) -> bool:
        """Return whether to send this frame; call it once for each frame."""
        is_next = self._has_rate() and self._sampler.take(frame.captured_s, speaking=self.speaking)
        if time.monotonic() < self._retry_s or self._is_old(frame):
            return False
        if self._is_due:
            return True
        if self._is_small and self._is_enough(frame):
            self._is_small = False
            return max(frame.width, frame.height) > self._side_px
        return is_next and not self._outlet.is_busy(self._name)

    async def _hand_over(self, frame: Frame) -> None:
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self._executor, self._made, frame)
        if self._give(frame, made):
            self._tell_of_return()

    def _made(self, frame: Frame) -> Frame | EncodedImage | None:
        """Convert a frame to what the model takes; None if it can't be converted. Safe in any thread."""
        lens, is_jpeg = self._eye.lens, self._outlet.takes_items
        try:
            if is_jpeg and not self.is_named:
                return lens.jpeg(frame)
            small = lens.small(frame)
            if self.is_named:
                small = named(small, lines.clean(self._name))
            return self._jpeg(small) if is_jpeg else small
        except ImageError as error:
            logger.debug("frame skipped", extra={"source": self._name, "reason": str(error)})
        except Exception as error:  # sources, and so their frames, can be anybody's code
            self._log("a frame could not be made into a picture", error)
        return None

    def _jpeg(self, small: Frame) -> EncodedImage:
        lens = self._eye.lens
        return encode_jpeg(small, max_side_px=lens.max_side_px, quality=lens.quality)

    def _give(self, frame: Frame, made: Frame | EncodedImage | None) -> bool:
        """Send the converted frame; return whether the model has it, or a newer one."""
        if made is None:
            self._watcher.reject(frame)
            return False
        if self._is_old(frame):  # a question has sent a newer one since
            return True
        now_s, image = time.monotonic(), made if isinstance(made, EncodedImage) else None
        sighting = Sighting(
            view=self._name,
            owner=self._eye.owner,
            purpose="realtime",
            image=image,
            captured_s=frame.captured_s,
            captured_unix_s=time.time() - (now_s - frame.captured_s),
            chosen_s=now_s,
            chosen="newest",
        )
        picture = Picture(sighting=sighting, frame=made if isinstance(made, Frame) else None)
        try:
            self._outlet.give(picture)
        except Exception as error:  # any plugin may raise anything; we try again with the next frame
            self._log("a picture did not reach the model, trying with the next one", error)
            self._is_due, self._retry_s = True, now_s + self._retry.next_s()
            return False
        self._retry.reset()
        self._may_repeat = False
        self._watcher.looked_at(frame)
        # if this picture is older than a turn's picture should be, a newer one follows
        was_asked, self._is_due = self._is_due, now_s - frame.captured_s > self._options.max_age_s
        self._is_small = was_asked and not self._is_enough(frame)
        self._picture, self._captured_s = picture, frame.captured_s
        self._side_px = max(frame.width, frame.height)
        return True

    def _is_old(self, frame: Frame) -> bool:
        """Return whether the model already has this frame, or a newer one."""
        at_s, last_s = frame.captured_s, self._captured_s
        return at_s < last_s or (at_s == last_s and not self._may_repeat)

    def _is_enough(self, frame: Frame) -> bool:
        side_px, max_wait_s = self._eye.lens.max_side_px, self._options.max_wait_s
        return self._watcher.is_enough(frame, side_px, max_wait_s=max_wait_s)

    def _has_rate(self) -> bool:
        """Return whether frames go out at a rate now."""
        policy = self._outlet.policy
        return policy == "stream" or (self.speaking and policy == "items_while_speaking")

    def _has_rate_at_rest(self) -> bool:
        return self._outlet.policy == "stream" and self._options.silent_fps > 0

    async def _until_next(self, frame: Frame | None) -> None:
        """Wait for a newer frame if one may be wanted, for a request, or until the next check."""
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._wake.wait())]
        if self._has_rate() or self._is_due or self._is_small:
            if self._watcher.latest is not frame:
                self._wake.set()
            waits.append(asyncio.create_task(self._watcher.arrival(within_s=CHECK_S)))
        try:
            await asyncio.wait(waits, timeout=CHECK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)

    def _tell_of(self, problem: str) -> None:
        source = self._eye.source
        if isinstance(source, TrackSource) and source.gone:
            self._outlet.withdraw(self._name)
        if self._watcher.demand is Demand.OFF:  # nobody wants a picture of it
            return
        reason = problem.partition(",")[0]  # without the number of seconds, which changes
        sighting = self._eye.nothing(problem, purpose="realtime")
        self._telling.say(self._name, reason, lines.problem_line(sighting))

    def _tell_of_return(self) -> None:
        self._telling.say(self._name, "", lines.back_line(self._name))

    def _log(self, message: str, error: Exception) -> None:
        """Log an error: each kind once as a warning, then as debug."""
        kind = type(error).__name__
        level = logging.DEBUG if kind in self._failures else logging.WARNING
        self._failures.add(kind)
        logger.log(level, message, extra={"source": self._name, "reason": kind}, exc_info=error)
