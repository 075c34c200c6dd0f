"""Results as a table, as JSON and as a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from .result import Figure, Result

_PLOTTED = {"ms": "ms", "% of a core": "cpu"}  # units that are drawn, and their part of the file name
_BAR, _OURS, _INK = "#9aa5b1", "#2563eb", "#1f2933"


def table(result: Result) -> str:
    """Return one part as lines of text."""
    if result.skipped:
        return f"{result.part}: skipped, {result.skipped}"
    widest = max((len(figure.name) for figure in result.figures), default=0)
    lines = [f"{result.part:<{widest + 2}}{'median':>10}{'p95':>10}{'min':>10}{'max':>10}  unit"]
    lines += [_row(figure, widest) for figure in result.figures]
    lines += [f"  note: {note}" for note in result.notes]
    return "\n".join(lines)


def write(results: Sequence[Result], facts: dict[str, Any], folder: Path) -> list[Path]:
    """Write ``bench.json`` and one SVG per part and unit with figures; return the paths of the files.

    Args:
        results: The results of all parts.
        facts: Commit, machine, versions, command.
        folder: Created if needed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        {
            "part": r.part,
            "config": r.config,
            "skipped": r.skipped,
            "notes": r.notes,
            "figures": [f.as_json() for f in r.figures],
        }
        for r in results
    ]
    report = folder / "bench.json"
    report.write_text(
        json.dumps({**facts, "parts": parts}, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    written = [report]
    for result in results:
        for unit, kind in _PLOTTED.items():
            bars = [each for each in result.figures if each.unit == unit and math.isfinite(each.values[0])]
            if bars:
                plot = folder / f"{result.part}-{kind}.svg"
                plot.write_text(_svg(result.part, bars), encoding="utf-8")
                written.append(plot)
    return written


def _row(figure: Figure, widest: int) -> str:
    found = figure.summary()
    numbers = "".join(f"{found[key]:>10.2f}" for key in ("median", "p95", "min", "max"))
    verdict = f"  [{'ok' if figure.ok else 'MISSED'}: {figure.target}]" if figure.target else ""
    return f"  {figure.name:<{widest}}{numbers}  {figure.unit}{verdict}"


def _svg(title: str, bars: Sequence[Figure]) -> str:
    """Draw horizontal bars of the medians, with a line from min to p95."""
    row_px, label_px, plot_px = 22, 380, 420
    height = row_px * (len(bars) + 2)
    most = max(max(bar.summary()["median"], bar.summary()["p95"]) for bar in bars) or 1.0
    rows = [f'<text x="8" y="18" font-weight="bold">{escape(title)}: median, line from min to p95</text>']
    for place, bar in enumerate(bars):
        found, top = bar.summary(), row_px * (place + 1) + 6
        scaled = {key: label_px + plot_px * value / most for key, value in found.items()}
        colour = _OURS if "vision_agent" in bar.name else _BAR
        middle = top + 7
        rows.append(f'<text x="{label_px - 8}" y="{top + 11}" text-anchor="end">{escape(bar.name)}</text>')
        rows.append(
            f'<rect x="{label_px}" y="{top}" width="{scaled["median"] - label_px:.1f}" height="14" '
            f'fill="{colour}"/>'
        )
        rows.append(
            f'<line x1="{scaled["min"]:.1f}" x2="{scaled["p95"]:.1f}" y1="{middle}" y2="{middle}" '
            f'stroke="{_INK}"/>'
        )
        text = f"{found['median']:.2f} {bar.unit}"
        rows.append(f'<text x="{max(scaled["median"], scaled["p95"]) + 6:.1f}" y="{top + 11}">{text}</text>')
    body = "\n".join(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{label_px + plot_px + 130}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
