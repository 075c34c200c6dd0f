"""Clean stops: the signals that ask a process to end, as a queue to wait on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # what a terminal, a supervisor and a closed window send


@contextmanager
def stop_signals() -> Iterator[asyncio.Queue[int]]:
    """Put each signal that asks to stop into the queue instead of ending the process.

    The first signal asks for a clean stop, the second for a quick one; a third has its normal effect.
    Works in the main thread only, like all signals.
    """
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[int] = asyncio.Queue()
    count = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        loop.call_soon_threadsafe(asked.put_nowait, number)
        if count == 2:
            restore()

    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]  # no SIGHUP on Windows
    before = {number: signal.signal(number, on_signal) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        yield asked
    finally:
        restore()
