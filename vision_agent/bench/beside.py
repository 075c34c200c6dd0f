"""The figures of a report that a reader wants first: the peers side by side, and ours alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .at_rest import at_rest
from .markdown import conditions, number, read_report

PEERS = ("vision_agent", "livekit recipe", "livekit video input", "Pipecat", "Vision-Agents")

MEDIAN, LONGEST = ("median",), ("median", "max")
SIDE_BY_SIDE = (  # name in the report, which of its numbers, label for readers
    ("720p to 512 px: {}", MEDIAN, "a 720p frame to a JPEG of 512 px"),
    ("720p to 512 px: {}, event loop late by", MEDIAN, "delay of the event loop while it is made"),
    ("720p, its default: {}", MEDIAN, "a 720p frame to a JPEG of each library's default size"),
    ("720p, its default: {}, event loop late by", MEDIAN, "delay of the event loop while it is made"),
    ("idle, a camera in the room: {}", MEDIAN, "CPU of one core: a 720p camera in the room, nobody asks"),
    ("spoken turns whose first request has the picture: {}", MEDIAN,
     "spoken turns: the request has the picture"),
    ("typed turns whose first request has the picture: {}", MEDIAN,
     "typed turns: the request has the picture"),
    ("event loop late in a spoken turn, longest of each: {}", LONGEST,
     "delay of the event loop in a spoken turn: median, longest"),
    ("event loop late in a typed turn, longest of each: {}", LONGEST, "the same in a typed turn"),
)  # fmt: skip
P95, P95_LONGEST = ("p95",), ("p95", "max")
OURS = (  # part, figure, which of its numbers, label for readers
    ("idle", "recipe / ready", MEDIAN, "idle camera: the recipe's CPU over ours, `ready`"),
    ("idle", "recipe / on_demand", MEDIAN, "the same, `on_demand`"),
    ("cameras", "16 cameras: open streams / on_demand", MEDIAN, "16 idle cameras: open streams over ours"),
    ("turn", "ready: demand raised to full-size frame", P95_LONGEST,
     "from the raised demand to a full-size frame, `ready`: p95, longest"),
    ("turn", "on_demand: demand raised to full-size frame", P95_LONGEST, "the same, `on_demand`"),
    ("turn", "ready: typed after rest, question to request", LONGEST,
     "typed after a rest: from question to request, `ready`: median, longest"),
    ("turn", "on_demand: typed after rest, question to request", LONGEST, "the same, `on_demand`"),
    ("turn", "spoken turn: our hooks", P95, "our share between a turn's end and the request, p95"),
    ("age", "vision_agent look() while the user speaks", P95, "age of the picture since its capture, p95"),
    ("age", "bare VideoStream, as frames arrive", P95, "the same for a bare `VideoStream`, p95"),
    ("memory", "highest above the first", MEDIAN, "memory after 5 minutes without an answer"),
)  # fmt: skip


def beside(path: Path) -> str:
    """Return two tables of a report made with ``--peers``; medians unless a label says otherwise.

    Skips what the report doesn't have. The results of the scripts in ``benchmarks/`` follow.

    Raises:
        ConfigError: The file can't be read, or is not a report.
    """
    report = read_report(path)
    found = {(part["part"], figure["name"]): figure for part in report["parts"] for figure in part["figures"]}
    rows = [f"| | {' | '.join(PEERS)} |", f"|---|{'---:|' * len(PEERS)}"]
    for name, keys, label in SIDE_BY_SIDE:
        figures = [found.get(("peers", name.format(peer))) for peer in PEERS]
        if any(figures):
            rows.append(f"| {label} | {' | '.join(_cell(figure, keys) for figure in figures)} |")
    rows += ["", "| | |", "|---|---:|"]
    for part, name, keys, label in OURS:
        if figure := found.get((part, name)):
            rows.append(f"| {label} | {_cell(figure, keys)} |")
    made = f"Medians, unless stated otherwise. {conditions(report)}"
    return "\n".join([*rows, "", made, *at_rest(path.parent)])


def _cell(figure: dict[str, Any] | None, keys: tuple[str, ...]) -> str:
    if figure is None:
        return "-"
    return f"{', '.join(number(figure[key]) for key in keys)} {figure['unit']}".replace(" of a core", "")
