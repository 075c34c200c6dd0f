"""A report's JSON as Markdown tables, so that every number in the docs comes from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ConfigError


def render(path: Path) -> str:
    """Return the tables of a report.

    Raises:
        ConfigError: The file can't be read, or is not a report.
    """
    report = read_report(path)
    lines = [conditions(report)]
    for part in report["parts"]:
        lines += ["", f"**{part['part']}**", "", *_table(part)]
    return "\n".join(lines)


def read_report(path: Path) -> dict[str, Any]:
    """Read the report of a run.

    Raises:
        ConfigError: The file can't be read, or is not a report.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        for part in report["parts"]:
            for figure in part["figures"]:
                number(figure["median"])
        conditions(report)
    except OSError as error:
        raise ConfigError(f"report {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"report {path} is not what `vision-agent bench` writes: {error}") from error
    return dict(report)


def conditions(report: dict[str, Any]) -> str:
    """Return a sentence about how, when and where a report was made."""
    machine = report["machine"]
    return (
        f"`{report['command']}` at commit {report['commit']}, {report['date'][:10]}, on "
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}."
    )


def _table(part: dict[str, Any]) -> list[str]:
    if part["skipped"]:
        return [f"Skipped: {part['skipped']}."]
    rows = ["| | median | p95 | min to max | target |", "|---|---:|---:|---:|---|"]
    for figure in part["figures"]:
        unit = figure["unit"]
        numbers = {key: number(figure[key]) for key in ("median", "p95", "min", "max")}
        target = (
            f"{figure['target']}: {'ok' if figure['ok'] else '**missed**'}" if figure.get("target") else ""
        )
        rows.append(
            f"| {figure['name'].replace('|', '/')} | {numbers['median']} {unit} | {numbers['p95']} "
            f"| {numbers['min']} to {numbers['max']} | {target} |"
        )
    return rows + [line for note in part["notes"] for line in ("", f"{note}")]


def number(value: float | None) -> str:
    """Return a number with three significant digits."""
    if value is None:
        return "none"
    if value in (0, 100):
        return f"{value:.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
