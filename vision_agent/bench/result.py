"""The results of one part of the benchmark: raw values and their spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_VALUES = 200
"""Most raw values of a figure that a report keeps."""

Progress = Callable[[str], None]
"""Called with a few words about what is being measured now."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured quantity."""

    name: str
    """What was measured, such as ``720p to 512 px: vision_agent``."""
    unit: str
    """``ms``, ``% of a core``, ``x`` (a ratio), ``MB``, ..."""
    values: Sequence[float]
    """Every raw value."""
    target: str = ""
    """The target in words, or empty."""
    ok: bool | None = None
    """Whether the figure meets its target; None without a target."""

    def summary(self) -> dict[str, float]:
        """Return count, median, p95, min and max."""
        ordered = sorted(self.values)
        return {
            "count": len(ordered),
            "median": statistics.median(ordered),
            "p95": percentile(ordered, 95),
            "min": ordered[0],
            "max": ordered[-1],
        }

    def as_json(self) -> dict[str, Any]:
        """Return everything; of many raw values only every n-th one, in the order they were measured."""
        step = -(-len(self.values) // MOST_VALUES)
        values = [_rounded(value) for value in self.values[::step]]
        summary = {key: _rounded(value) for key, value in self.summary().items()}
        found: dict[str, Any] = {"name": self.name, "unit": self.unit, **summary, "values": values}
        return found | ({"target": self.target, "ok": self.ok} if self.target else {})


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None  # JSON knows no NaN


@dataclass(kw_only=True)
class Result:
    """The results of one part."""

    part: str
    """The part's name."""
    config: dict[str, Any] = field(default_factory=dict)
    """The settings of the run."""
    figures: list[Figure] = field(default_factory=list)
    """The figures, in the order of the table."""
    skipped: str = ""
    """Why the part could not run, or empty."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know about the figures, for example what could not run."""

    def add(self, name: str, unit: str, values: Sequence[float]) -> None:
        """Add a figure."""
        if values:
            self.figures.append(Figure(name=name, unit=unit, values=list(values)))

    def ratio(
        self,
        name: str,
        over: Sequence[float],
        under: Sequence[float],
        *,
        at_least: float = 0,
        at_most: float = 0,
    ) -> None:
        """Add the ratio of values measured in pairs, and whether its median meets the limit."""
        values = [a / b for a, b in zip(over, under, strict=True) if b > 0]
        if not values:
            return
        median = statistics.median(values)
        target = f"at least {at_least:g}x" if at_least else f"at most {at_most:g}x" if at_most else ""
        ok = (median >= at_least if at_least else median <= at_most) if target else None
        self.figures.append(Figure(name=name, unit="x", values=values, target=target, ok=ok))

    def limit(
        self, name: str, unit: str, values: Sequence[float], at_most: float, *, percent: float | None = None
    ) -> None:
        """Add a figure with an upper limit on a percentile of its values, or on the largest.

        Without a value the target is missed: nothing was measured.
        """
        which = f"p{percent:g} " if percent is not None else ""
        target = f"{which}at most {at_most:g} {unit}"
        if not values:
            self.figures.append(Figure(name=name, unit=unit, values=[math.nan], target=target, ok=False))
            return
        found = percentile(values, 100 if percent is None else percent)
        figure = Figure(name=name, unit=unit, values=list(values), target=target, ok=found <= at_most)
        self.figures.append(figure)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the percentile by nearest rank; with few values this is the largest."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
