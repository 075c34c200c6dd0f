"""What the peers' scripts share: pictures, clocks and the pipe, from the benchmark's own files.

A script runs in its peer's environment, in which ``vision_agent`` is not installed. So we load the files
that it needs by their path; they depend only on the standard library, numpy and Pillow.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PACKAGE = Path(__file__).parents[2] / "vision_agent"


def load(name: str) -> ModuleType:
    """Return a module such as ``bench/load`` of ``vision_agent`` without its package."""
    known = name.replace("/", "_")
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, PACKAGE / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]


costs, serving, stamp = load("bench/load"), load("bench/serving"), load("bench/stamp")
Call = Callable[[Any, dict[str, Any]], bytes]
Encode = Callable[[Any, dict[str, Any]], Awaitable[bytes]]
PAUSE = random.Random(4)


async def idle(request: dict[str, Any]) -> dict[str, Any]:
    """Return the CPU of this process over ``seconds``, in percent of a core."""
    return {"cpu": await costs.cpu_percent(request["seconds"])}


def encoder(encode: Encode, wrap: Callable[..., Any], call: Call | None) -> Any:
    """Return a handler that measures the time from a frame, as the peer gets it, to a JPEG.

    Args:
        encode: What the peer does in an event loop; we measure the loop's delay while it runs.
        wrap: Makes a frame from packed I420 and its size; not timed.
        call: The function alone, which we time; None: we time ``encode``.
    """

    async def handle(request: dict[str, Any]) -> dict[str, Any]:
        size_wh = tuple(request["size_wh"])
        # Mapped, not read: after a large block is freed, malloc keeps its memory. Later large buffers would
        # then cost no page faults, but they do in a process that only gets a camera's frames.
        frames = [wrap(np.array(planes), size_wh) for planes in np.load(request["frames"], mmap_mode="r")]
        await encode(frames[0], request)
        taken_ms, stalls_ms, size = [], [], 0
        for number in range(request["count"]):
            frame = frames[number % len(frames)]
            if request["apart_s"]:
                await asyncio.sleep(request["apart_s"])
            begun_s = time.perf_counter()
            size = len(call(frame, request) if call is not None else await encode(frame, request))
            taken_ms.append((time.perf_counter() - begun_s) * 1000)
        async with costs.LoopMonitor() as monitor:
            for frame in frames:
                await asyncio.sleep(0.01)
                await encode(frame, request)
            await asyncio.sleep(0.01)
        stalls_ms.append(max(monitor.late_ms))
        return {"ms": taken_ms, "stall_ms": stalls_ms, "bytes": size}

    return handle


def age_of(luma: Any, at_ms: int) -> float | None:
    """Return the age of a grey picture in milliseconds, at a time of ``stamp.now_ms()``."""
    found = stamp.read(luma)
    return None if found is None else float(stamp.age_ms(found, at_ms))


async def pause() -> None:
    """Wait for a random time, so that questions are not in step with a frame rate."""
    await asyncio.sleep(PAUSE.uniform(0.03, 0.12))


async def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait until a condition is true."""
    deadline_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {within_s:g} s")
        await asyncio.sleep(0.01)
