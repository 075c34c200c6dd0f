"""The decoder processes that this process has started, and pictures that keep them busy."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import psutil
from PIL import Image

from .files import file_of
from .waiting import until

AMID_BYTES = 120_000_000
"""A decoder process needs less memory than this at rest, and more while it decodes a huge picture."""


@cache
def huge() -> bytes:
    """A good PNG of 49 million pixels: a second of CPU time and 200 MB of memory, in 200 kB."""
    return file_of("PNG", Image.new("RGBA", (7000, 7000)), compress_level=1)


@cache
def many_scans(count: int, side_px: int = 700) -> bytes:
    """A progressive JPEG with this number of scans; only a few of them change anything."""
    data = file_of("JPEG", Image.new("L", (side_px, side_px), 128), progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda")) + data[-2:]


def decoders(parent_pid: int | None = None) -> list[psutil.Process]:
    """The running decoder processes, without those that have ended and were not waited for yet."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(parent_pid).children():
            with suppress(psutil.NoSuchProcess):
                if "vision_agent.decoding" in " ".join(child.cmdline()):
                    found.append(child)
    return found


async def stopped_amid_picture(parent_pid: int | None = None) -> psutil.Process:
    """Wait until a decoder process is in the middle of a huge picture, and stop it there."""

    stopped: list[psutil.Process] = []

    def is_stopped() -> bool:
        for each in decoders(parent_pid):
            with suppress(psutil.NoSuchProcess):
                each.suspend()  # first: the picture may be done a moment later
                if each.memory_info().rss > AMID_BYTES:
                    stopped.append(each)
                else:
                    each.resume()
        return bool(stopped)

    await until(is_stopped)
    (process,) = stopped
    return process


async def gone(process: psutil.Process) -> None:
    await until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
