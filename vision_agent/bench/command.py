"""Runs the parts one after the other: a table as they come, JSON and plots at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from ..errors import ConfigError
from . import encode, idle
from .machine import commit, machine, versions
from .report import table, write
from .result import Progress, Result

Part = Callable[[bool, Progress], Awaitable[Result]]

PARTS: dict[str, Part] = {"encode": encode.run, "idle": idle.run}
"""In the order they run."""

RESULTS = Path("benchmarks/results")


async def bench(*, quick: bool, only: Sequence[str] = (), output: Path = RESULTS) -> list[Result]:
    """Run the parts, print what they find, write it to ``output``.

    Args:
        quick: Fewer rounds: everything in under a minute.
        only: Names of parts; none means all.
        output: Folder for the JSON and the plots.

    Raises:
        ConfigError: A part is unknown.
    """
    for name in only:
        if name not in PARTS:
            raise ConfigError(f"benchmark part {name!r}: known are {', '.join(PARTS)}")
    facts = {
        "commit": commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(["vision-agent", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "quick": quick,
    }
    results = []
    chosen = [name for name in PARTS if not only or name in only]
    for place, name in enumerate(chosen, 1):
        started_s = time.monotonic()

        def progress(what: str, name: str = name, place: int = place) -> None:
            print(f"[{place}/{len(chosen)}] {name}: {what}", file=sys.stderr, flush=True)

        result = await PARTS[name](quick, progress)
        result.config["took_s"] = round(time.monotonic() - started_s, 1)
        results.append(result)
        print(table(result) + "\n", flush=True)
    for path in write(results, facts, output):
        print(f"wrote {path}")
    return results
