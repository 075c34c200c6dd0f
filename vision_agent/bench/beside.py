"""The few figures a reader wants first, out of a report: the peers side by side, and ours alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .markdown import conditions, number, read_report

PEERS = ("vision_agent", "livekit recipe", "livekit video input", "Pipecat", "Vision-Agents")

SIDE_BY_SIDE = (  # what a reader calls it, what the report calls it
    ("a 720p frame to a JPEG of 512 px", "720p to 512 px: {}"),
    ("the event loop is late meanwhile", "720p to 512 px: {}, event loop late by"),
    ("CPU of a core: a 720p camera in the room, nobody asks", "idle, a camera in the room: {}"),
    ("spoken turns: the request has the picture", "spoken turns whose first request has the picture: {}"),
    ("typed turns: the request has the picture", "typed turns whose first request has the picture: {}"),
    ("the event loop is late during turns", "event loop late in turns, longest of each pass: {}"),
)
OURS = (  # part, figure, which number of it, what a reader calls it
    ("idle", "recipe / ready", "median", "idle camera: the recipe's CPU over ours, `ready`"),
    ("idle", "recipe / on_demand", "median", "the same, `on_demand`"),
    ("cameras", "16 cameras: open streams / on_demand", "median", "16 idle cameras: open streams over ours"),
    ("turn", "ready: demand raised to full-size frame", "p95", "from a wish to a full-size frame, p95"),
    ("turn", "spoken turn: our hooks", "p95", "our share between a turn's end and the request, p95"),
    ("age", "vision_agent look() while the user speaks", "p95", "age of the picture, from the glass, p95"),
    ("age", "bare VideoStream, as frames arrive", "p95", "the same of a bare `VideoStream`, p95"),
    ("memory", "highest above the first", "median", "memory after 5 minutes without an answer"),
)


def beside(path: Path) -> str:
    """Return two tables of a report made with ``--peers``; medians where not said otherwise.

    Raises:
        ConfigError: The file can't be read, or is no report.
    """
    report = read_report(path)
    found = {(part["part"], figure["name"]): figure for part in report["parts"] for figure in part["figures"]}
    rows = [f"| | {' | '.join(PEERS)} |", f"|---|{'---:|' * len(PEERS)}"]
    for label, name in SIDE_BY_SIDE:
        cells = [_cell(found.get(("peers", name.format(peer))), "median") for peer in PEERS]
        rows.append(f"| {label} | {' | '.join(cells)} |")
    rows += ["", "| | |", "|---|---:|"]
    rows += [f"| {label} | {_cell(found.get((part, name)), key)} |" for part, name, key, label in OURS]
    return "\n".join([*rows, "", f"Medians, unless said otherwise. {conditions(report)}"])


def _cell(figure: dict[str, Any] | None, key: str) -> str:
    return "-" if figure is None else f"{number(figure[key])} {figure['unit']}".replace(" of a core", "")
