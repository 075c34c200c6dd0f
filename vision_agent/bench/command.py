"""Runs the parts one after the other: prints a table after each, writes JSON and plots at the end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from ..errors import ConfigError, VisionAgentError
from . import age, cameras, encode, idle, memory, peers, stalls, turn
from .machine import facts
from .report import table, write
from .result import Progress, Result
from .stage import Stages

Part = Callable[[bool, Progress, Stages], Awaitable[Result]]

PARTS: dict[str, Part] = {
    "encode": encode.run,
    "idle": idle.run,
    "age": age.run,
    "turn": turn.run,
    "stalls": stalls.run,
    "memory": memory.run,
    "cameras": cameras.run,
    "peers": peers.run,
}
"""In the order they run; parts with the same cameras are next to each other."""
EXTRA = "peers"
"""The part that runs only on request: it installs the peers."""

RESULTS = Path("benchmarks/results")


async def bench(
    *, quick: bool, only: Sequence[str] = (), with_peers: bool = False, output: Path = RESULTS
) -> list[Result]:
    """Run the parts, print their results and write them to ``output``.

    A part that can't run is skipped; the report has the reason.

    Args:
        quick: Fewer rounds: everything in under a minute.
        only: Names of parts; empty means all.
        with_peers: Measure the peers too, each in its own environment.
        output: Folder for the JSON and the plots.

    Raises:
        ConfigError: A part is unknown.
    """
    for name in only:
        if name not in PARTS:
            raise ConfigError(f"benchmark part {name!r}: known are {', '.join(PARTS)}")
    about = {**await asyncio.to_thread(facts, "vision-agent"), "quick": quick}
    results = []
    wanted = set(only or (name for name in PARTS if name != EXTRA)) | ({EXTRA} if with_peers else set())
    chosen = [name for name in PARTS if name in wanted]
    async with Stages() as stages:
        for place, name in enumerate(chosen, 1):
            started_s = time.monotonic()

            def progress(what: str, name: str = name, place: int = place) -> None:
                print(f"[{place}/{len(chosen)}] {name}: {what}", file=sys.stderr, flush=True)

            try:
                result = await PARTS[name](quick, progress, stages)
            except VisionAgentError as error:
                result = Result(part=name, skipped=str(error))
            result.config["took_s"] = round(time.monotonic() - started_s, 1)
            results.append(result)
            print(table(result) + "\n", flush=True)
    for path in write(results, about, output):
        print(f"wrote {path}")
    return results


def missed(results: Sequence[Result]) -> list[str]:
    """Return the names of figures that missed their target, and of parts that were skipped."""
    return [
        *(result.part for result in results if result.skipped),
        *(f"{r.part}: {figure.name}" for r in results for figure in r.figures if figure.ok is False),
    ]
