"""Keeps the newest frame of one source, and knows its age."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass

from .errors import VisionAgentError
from .frame import Frame
from .sources import FrameSource

logger = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.25, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherStatistics:
    """Counts since the start."""

    received: int
    """Frames the source gave."""
    used: int
    """Frames that were handed to a turn."""
    dropped: int
    """Frames replaced by a newer one before anybody looked."""
    failures: int
    """Times the source broke off and was tried again."""


class Watcher:
    """Owns the task that reads one source into a slot of one frame: newest wins.

    Args:
        source: What to read; closed together with the watcher.
        stall_s: Seconds without a frame after which the source counts as stalled.
    """

    def __init__(self, source: FrameSource, *, stall_s: float = 2.0) -> None:
        self.source = source
        self._stall_s = stall_s
        self._latest: Frame | None = None
        self._taken = True
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._received = self._used = self._dropped = self._failures = 0
        self._failure: str | None = None

    @property
    def statistics(self) -> WatcherStatistics:
        """Counts since the start."""
        return WatcherStatistics(
            received=self._received, used=self._used, dropped=self._dropped, failures=self._failures
        )

    def start(self) -> None:
        """Begin to read; a second call does nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"watcher {self.source.name}")

    async def aclose(self) -> None:
        """Stop reading, close the source; may be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._latest = None
        await self.source.aclose()

    async def fresh(self, *, max_age_s: float, max_wait_s: float) -> Frame | None:
        """Return the newest frame if it is fresh enough, waiting shortly for one if it is not.

        Args:
            max_age_s: Oldest frame that still counts as now, in seconds.
            max_wait_s: How long to wait for a fresher one, in seconds.

        Returns:
            The frame, or None where none came: then ``problem()`` says why.
        """
        deadline_s = time.monotonic() + max_wait_s
        while True:
            if self.source.problem is None and self._latest is not None:
                if time.monotonic() - self._latest.captured_s <= max_age_s:
                    if not self._taken:
                        self._taken = True
                        self._used += 1
                    return self._latest
            elif self.source.problem is not None and self._received:
                return None
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return None
            self._arrived.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), left_s)

    def problem(self) -> str | None:
        """Say in a few words why there is no current picture, or None if there is one."""
        if self.source.problem is not None:
            return self.source.problem
        if self._failure is not None:
            return self._failure
        if self._latest is None:
            return "no picture has arrived yet"
        age_s = time.monotonic() - self._latest.captured_s
        return f"stalled, the last picture came {age_s:.0f} s ago" if age_s > self._stall_s else None

    async def _run(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            try:
                async for frame in self.source.frames():
                    retry_s, self._failure = RETRY_FIRST_S, None
                    self._dropped += not self._taken
                    self._latest, self._taken = frame, False
                    self._received += 1
                    self._arrived.set()
                return
            except VisionAgentError as error:
                self._failures += 1
                self._failure = str(error)
                logger.warning("source failed, trying again", extra={"source": self.source.name})
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, RETRY_MAX_S)
