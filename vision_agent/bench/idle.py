"""What a camera costs while nobody asks: CPU of the subscriber, by policy and with the recipe of the docs."""

from __future__ import annotations

import asyncio
import time

from .cases import Case, nothing, policy, recipe
from .load import cpu_percent
from .result import Progress, Result
from .stage import FPS, HD_WH, Stages

ALWAYS = "vision_agent always"
"""Costs as much as the recipe; not part of quick runs."""
CASES: dict[str, Case] = {
    "connected, nothing subscribed": nothing,
    "recipe": recipe,
    ALWAYS: policy("always"),
    "vision_agent ready": policy("ready"),
    "vision_agent on_demand": policy("on_demand"),
}
SETTLE_S = 0.5


async def run(quick: bool, progress: Progress, stages: Stages) -> Result:
    """Measure each case in turns, in one process and one room."""
    rounds, seconds = (1, 1.0) if quick else (3, 5.0)
    config = {"rounds": rounds, "seconds": seconds, "size": "1280x720", "fps": FPS, "codec": "VP8 simulcast"}
    result = Result(part="idle", config=config)
    cases = {name: case for name, case in CASES.items() if not quick or name != ALWAYS}
    cpu: dict[str, list[float]] = {name: [] for name in cases}
    fps: dict[str, list[float]] = {name: [] for name in cases}
    on = await stages.set(size_wh=HD_WH)
    async with on.joined() as room:
        for turn in range(rounds):
            for name, case in cases.items():
                progress(f"round {turn + 1}/{rounds}, {name}")
                async with case(room, 1) as counted:
                    await asyncio.sleep(SETTLE_S)
                    before, started_s = counted(), time.perf_counter()
                    cpu[name].append(await cpu_percent(seconds))
                    fps[name].append((counted() - before) / (time.perf_counter() - started_s))
    for name, values in cpu.items():
        result.add(name, "% of a core", values)
    for name in ("recipe", ALWAYS, "vision_agent ready"):
        result.add(f"{name}: frames", "fps", fps.get(name, []))
    empty = cpu["connected, nothing subscribed"]
    for name, at_least in (("always", 0.0), ("ready", 4.5), ("on_demand", 12.0)):
        ours = cpu.get(f"vision_agent {name}")
        if ours is None:
            continue
        result.ratio(f"recipe / {name}", cpu["recipe"], ours, at_least=at_least)
        net = ([a - b for a, b in zip(each, empty, strict=True)] for each in (cpu["recipe"], ours))
        if name != "on_demand":  # there only noise would remain
            result.ratio(f"recipe / {name}, both less the empty connection", *net)
    return result
