"""A summary of the two scripts in ``benchmarks/``: sources at rest, and publishing without re-encoding."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .markdown import conditions, number

CASES = {
    "mjpeg file": "motion JPEG, a file",
    "mjpeg http": "motion JPEG, a live camera (HTTP)",
    "h264 file": "H.264, a file",
    "h264 rtsp": "H.264, a live camera (RTSP)",
}
"""The name of a case in ``sources.py``, and its label for readers."""


def at_rest(folder: Path) -> list[str]:
    """Return lines about ``sources.json`` and ``publish.json`` of a folder; none for a missing file.

    Raises:
        ConfigError: A file is not what its script writes.
    """
    lines: list[str] = []
    for name, told in (("sources", _sources), ("publish", _publish)):
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            made = conditions(report) if "commit" in report else f"`python benchmarks/{name}.py`."
            lines += ["", *told(report), made]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"report {path} is not what `benchmarks/{name}.py` writes: {error}") from error
    return lines


def _sources(report: dict[str, Any]) -> list[str]:
    size = f"{report['size'].partition('x')[2]}p{report['fps']}"
    rows = [f"| CPU of a core at rest, {size} | vision_agent | OpenCV reading the same |", "|---|---:|---:|"]
    for case, label in CASES.items():
        if case in report["cases"]:
            ours, theirs = (report["cases"][case][how]["cpu_percent"] for how in ("IDLE", "opencv"))
            rows.append(f"| {label} | {number(ours)} % | {number(theirs)} % |")
    return [*rows, ""]


def _publish(report: dict[str, Any]) -> list[str]:
    size = f"{report['size'].partition('x')[2]}p{report['fps']}"
    share = number(statistics.median(report["ratios"]))
    return [f"Publishing H.264 untouched ({size}) takes {share} of the CPU of decoding and encoding it."]
