"""What a process costs: CPU, memory, and event-loop delay. Needs only the standard library."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path
from types import TracebackType

TICK_S = 0.002


async def cpu_percent(seconds: float) -> float:
    """Return this process's CPU over the next seconds, with all threads, in percent of one core."""
    cpu_s, started_s = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    return 100 * (time.process_time() - cpu_s) / (time.perf_counter() - started_s)


def resident_mb() -> float:
    """Return the memory of this process now, in MB; without ``/proc`` its maximum so far."""
    try:
        fields = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(field.split()[1]) for field in fields if field.startswith("VmRSS")) / 1024
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def settle_heap() -> None:
    """Collect garbage, and exclude the rest from later collections, as livekit-agents does for its jobs.

    Otherwise a full collection of everything imported, 0.1 s and more, happens during some measurement.
    """
    gc.collect()
    gc.freeze()


class LoopMonitor:
    """Records how late each tick of a task comes, because something else ran on the loop.

    The clock of ``epoll`` counts whole milliseconds, so an idle loop shows about one.
    """

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        """Delay of each tick."""
        self._reported = 0  # ticks that ``longest_ms`` has reported
        self._ticked = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None

    async def longest_ms(self) -> float:
        """Return the longest delay since the last call, including the tick that runs now."""
        self._ticked.clear()
        await self._ticked.wait()
        since, self._reported = self.late_ms[self._reported :], len(self.late_ms)
        return max(since)

    async def __aenter__(self) -> LoopMonitor:
        """Begin."""
        self._ticking = asyncio.create_task(self._tick(), name="loop monitor")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """End."""
        ticking, self._ticking = self._ticking, None
        if ticking is not None:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            started_s = time.perf_counter()
            await asyncio.sleep(TICK_S)
            self.late_ms.append((time.perf_counter() - started_s - TICK_S) * 1000)
            self._ticked.set()
