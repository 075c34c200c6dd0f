"""What many cameras cost while nobody asks, by policy, beside the same number of open streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from .cases import Case, policy, recipe
from .load import cpu_percent
from .result import Progress, Result
from .stage import Stages

SIZE_WH, FPS = (320, 180), 15
READY = "vision_agent ready"
"""Not part of quick runs."""
CASES: dict[str, Case] = {
    "open streams": recipe,
    READY: policy("ready"),
    "vision_agent on_demand": policy("on_demand"),
}
SETTLE_S = 0.6
MOST = 16


async def run(quick: bool, progress: Progress, stages: Stages) -> Result:
    """Measure each case with 1, 4 and 16 cameras."""
    rounds, seconds, counts = (1, 1.0, (MOST,)) if quick else (2, 3.0, (1, 4, MOST))
    cases = {name: case for name, case in CASES.items() if not quick or name != READY}
    return await watch(counts, cases, rounds, seconds, progress, stages)


async def watch(
    counts: Sequence[int],
    cases: Mapping[str, Case],
    rounds: int,
    seconds: float,
    progress: Progress,
    stages: Stages,
) -> Result:
    """Measure these cases with these numbers of cameras, in turns, in one process and one room."""
    config = {"rounds": rounds, "seconds": seconds, "size": "320x180", "fps": FPS, "codec": "VP8"}
    result = Result(part="cameras", config=config)
    for cameras in counts:
        cpu: dict[str, list[float]] = {name: [] for name in cases}
        fps: list[float] = []
        on = await stages.set(cameras=cameras, size_wh=SIZE_WH, fps=FPS)
        async with on.joined() as room:
            for turn in range(rounds):
                for name, case in cases.items():
                    progress(f"{cameras} cameras, round {turn + 1}/{rounds}, {name}")
                    async with case(room, cameras) as counted:
                        await asyncio.sleep(SETTLE_S)
                        before, started_s = counted(), time.perf_counter()
                        cpu[name].append(await cpu_percent(seconds))
                        if case is recipe:
                            passed_s = time.perf_counter() - started_s
                            fps.append((counted() - before) / passed_s / cameras)
        for name, values in cpu.items():
            result.add(f"{cameras} cameras: {name}", "% of a core", values)
        result.add(f"{cameras} cameras: frames of each open stream", "fps", fps)
        open_streams, none = cpu["open streams"], cpu["vision_agent on_demand"]
        if READY in cpu:
            result.ratio(f"{cameras} cameras: open streams / ready", open_streams, cpu[READY])
        at_least = 10 if cameras == MOST else 0
        result.ratio(f"{cameras} cameras: open streams / on_demand", open_streams, none, at_least=at_least)
    return result
