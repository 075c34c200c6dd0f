"""Keeps the newest frame of one source, and its age."""

from __future__ import annotations

import asyncio
import logging
import time

from ..backoff import Backoff
from ..demand import Demand, DemandAware
from ..errors import SourceError, VisionAgentError
from ..imaging.frame import Frame
from ..sources import FrameSource
from ..waiting import either, ended
from .counts import WatcherCounts
from .level import DemandLevel
from .reach import Reach

logger = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.25, 3.0
STALL_S = 2.0
RESUME_S = 2.5
"""How long a turn waits for a view that was off, in seconds, even if ``max_wait_s`` is shorter:
resubscribing takes 0.1 s, but 1.3 s in the first second after unsubscribing."""

LATE_S, PATIENCE_S = 0.1, 0.05
"""A newer frame is expected at any moment if the newest one is older than the source's interval plus
``LATE_S`` (for example because the loop was busy); a turn waits ``PATIENCE_S`` for it. In seconds."""


class Watcher:
    """Owns the task that reads one source into a slot for the newest frame, and the source's demand.

    Args:
        source: What to read; the watcher closes it.
        level: What the view costs while nobody looks; full cost if None.
        stall_s: Seconds without a frame after which the source counts as stalled.
    """

    def __init__(
        self, source: FrameSource, *, level: DemandLevel | None = None, stall_s: float = STALL_S
    ) -> None:
        self.source = source
        self._level = level or DemandLevel(policy="always")
        self._stall_s = stall_s
        self._demand: Demand | None = None
        self._reach = Reach()
        self._resumed_s = float("-inf")  # when the demand last rose from OFF
        self._fall: asyncio.TimerHandle | None = None
        self._latest: Frame | None = None
        self._interval_s = 0.0  # between the two newest frames
        self._taken = True
        self._arrived = asyncio.Event()
        self._silent = False  # a turn waited, no frame came, and none has come since
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = None
        self.statistics = WatcherCounts()
        """Counts since the start."""

    @property
    def demand(self) -> Demand:
        """The demand on the source now."""
        return self._level.at(time.monotonic())

    @property
    def latest(self) -> Frame | None:
        """The newest frame, however old it is."""
        return self._latest

    def start(self) -> None:
        """Start reading; a second call does nothing."""
        if self._task is None:
            self._apply_demand()
            self._task = asyncio.create_task(self._run(), name=f"watcher {self.source.name}")

    async def aclose(self) -> None:
        """Stop reading and close the source; safe to call twice."""
        if self._fall is not None:
            self._fall.cancel()
        await ended(self._task)
        self._task = self._latest = None
        await self.source.aclose()

    def touch(self) -> None:
        """Raise the demand for the grace time."""
        self._level.touch(time.monotonic())
        self._apply_demand()

    def hold(self) -> None:
        """Raise the demand until ``release``."""
        self._level.hold()
        self._apply_demand()

    def release(self) -> None:
        """Undo one ``hold``."""
        self._level.release(time.monotonic())
        self._apply_demand()

    async def opened(self, *, within_s: float) -> None:
        """Wait for the first frame.

        Raises:
            SourceError: The source failed, or gave no frame in time.
        """
        deadline_s = time.monotonic() + within_s
        while not self.statistics.received:
            if self._failure is not None:
                raise SourceError(self._failure)
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise SourceError(f"{self.source.name}: no picture came within {within_s:g} s")
            await self.arrival(within_s=left_s)

    async def arrival(self, *, within_s: float) -> None:
        """Wait for the next frame, at most this long."""
        self._arrived.clear()
        await either(self._arrived, timeout_s=within_s)

    async def fresh(self, *, max_age_s: float, max_wait_s: float, side_px: int = 1) -> Frame | None:
        """Return the newest frame if it is fresh and large enough; otherwise wait a short time for one.

        Args:
            max_age_s: Greatest age of a frame that still counts as current, in seconds.
            max_wait_s: How long to wait for a better frame, in seconds. If a wait brought no frame, the
                next call does not wait until a frame comes: a view known to show nothing delays no turn.
            side_px: Longest side wanted, in pixels. A smaller frame is enough if the source has no
                larger one, or has not given one ``max_wait_s`` after the demand was raised.

        Returns:
            The frame, or None if none came: then ``problem()`` says why.
        """
        begun_s = time.monotonic()
        patient_until_s = begun_s + min(PATIENCE_S, max_wait_s)
        deadline_s = max(begun_s + max_wait_s, self._resumed_s + RESUME_S)
        while self.source.problem is None:
            now_s = time.monotonic()
            frame = self._latest
            if frame is not None and (age_s := now_s - frame.captured_s) <= max_age_s:
                if begun_s + max_wait_s > now_s and not self.is_enough(frame, side_px, max_wait_s=max_wait_s):
                    left_s = min(self._reach.due_s(max_wait_s), begun_s + max_wait_s) - now_s
                elif now_s < patient_until_s and age_s > self._interval_s + LATE_S:
                    left_s = patient_until_s - now_s
                else:
                    self.looked_at(frame)
                    return frame
            elif self._failure is not None or self._silent:
                return None
            else:
                left_s = deadline_s - now_s
                self._silent = left_s <= 0
            if left_s <= 0:
                return None
            await self.arrival(within_s=left_s)
        self._silent = False  # from now on the source's own problem explains why there is no picture
        return None

    def known_problem(self) -> str | None:
        """Return why a look would find no picture, without waiting; None if it may find one."""
        known = self.source.problem or self._failure
        return known or (self.problem() or "no current picture came in time" if self._silent else None)

    def looked_at(self, frame: Frame) -> None:
        """Count the newest frame as used, once."""
        if frame is self._latest:
            self.statistics.used += not self._taken
            self._taken = True

    def reject(self, frame: Frame) -> None:
        """Discard a frame that turned out to be broken."""
        self.statistics.bad += 1
        if self._latest is frame:
            self._latest = None

    def problem(self) -> str | None:
        """Return in a few words why there is no current picture, or None if there is one."""
        if self.source.problem is not None:
            return self.source.problem
        if self._failure is not None:
            return self._failure
        if self._latest is None:
            return "no picture has arrived yet"
        age_s = time.monotonic() - self._latest.captured_s
        return f"stalled, the last picture came {age_s:.0f} s ago" if age_s > self._stall_s else None

    def is_enough(self, frame: Frame, side_px: int, *, max_wait_s: float) -> bool:
        """Return whether a frame is as large as wanted, or no larger one is worth waiting for.

        Args:
            frame: The frame.
            side_px: Longest side wanted, in pixels.
            max_wait_s: How long to wait for a larger frame once one can be expected, in seconds.
        """
        now_s, side = time.monotonic(), max(frame.width, frame.height)
        full_wh = self.source.full_size_wh if isinstance(self.source, DemandAware) else None
        full_px = None if full_wh is None else max(full_wh)
        if self._reach.is_large(side, wanted_px=side_px, full_px=full_px, now_s=now_s):
            return True
        if now_s < self._reach.due_s(max_wait_s):
            return False
        self._reach.gave_up(side, now_s)
        return True

    def _apply_demand(self) -> None:
        now_s = time.monotonic()
        demand = self._level.at(now_s)
        if demand != self._demand:
            before, self._demand = self._demand, demand
            if demand is Demand.ACTIVE:
                self._reach.raised(now_s)
            if before in (None, Demand.OFF):  # a view that has just come takes as long
                self._resumed_s, self._silent = now_s, False
            if demand is Demand.OFF:
                self._latest = None
            if isinstance(self.source, DemandAware):
                self.source.set_demand(demand)
            logger.debug("demand changed", extra={"source": self.source.name, "was": before, "is": demand})
        if self._fall is not None:
            self._fall.cancel()
            self._fall = None
        falls_in_s = self._level.falls_in_s(now_s)
        if falls_in_s is not None:
            self._fall = asyncio.get_running_loop().call_later(falls_in_s + 0.001, self._apply_demand)

    async def _run(self) -> None:
        retry = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        while True:
            try:
                async for frame in self.source.frames():
                    retry.reset()
                    self._failure = None
                    if self._demand is Demand.OFF:  # a last frame was still on its way
                        continue
                    self.statistics.dropped += not self._taken
                    if self._latest is not None:
                        self._interval_s = frame.captured_s - self._latest.captured_s
                    self._reach.came(max(frame.width, frame.height), time.monotonic())
                    self._latest, self._taken, self._silent = frame, False, False
                    self.statistics.received += 1
                    self._arrived.set()
                return
            except Exception as error:  # sources are foreign code: whatever they raise must not end this task
                expected, before = isinstance(error, VisionAgentError), self._failure
                self._failure = str(error) if expected else f"it failed with {type(error).__name__}"
                self._silent = False
                self.statistics.failures += 1
                self._arrived.set()
                about = {"source": self.source.name, "reason": self._failure}
                level = logging.DEBUG if self._failure == before else logging.WARNING
                logger.log(level, "source failed, trying again", extra=about, exc_info=not expected)
            await asyncio.sleep(retry.next_s())
