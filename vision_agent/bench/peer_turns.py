"""A peer in a room: it idles, answers spoken and typed questions, and looks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .child import Child
from .peer import OURS, Peer
from .result import Result
from .stage import Stage

SETTLE_S = 1.5


@dataclass(slots=True)
class Found:
    """The results of one peer, over all passes."""

    cpu: list[float] = field(default_factory=list)
    """CPU while nobody asks, in percent of a core."""
    ages_ms: list[float] = field(default_factory=list)
    """Ages of the pictures in its requests."""
    looked_ms: list[float] = field(default_factory=list)
    """Ages of its newest picture, encoded at random moments."""
    turns: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"spoken": [], "typed": []})
    """Its answers by kind of turn, one per pass."""


async def attend(child: Child, peer: Peer, found: Found, on: Stage, *, seconds: float, turns: int) -> None:
    """Let a peer join, idle for ``seconds``, and take ``turns`` turns of each kind.

    Raises:
        ChildError: It ended, failed, or did not answer in time.
    """
    await child.ask({"do": "join", "room": on.room, **on.ticket(peer.script.removesuffix(".py"))})
    await asyncio.sleep(SETTLE_S)
    told = await child.ask({"do": "idle", "seconds": seconds})
    found.cpu.append(told["cpu"])
    for kind, seen in found.turns.items():
        told = await child.ask({"do": "turns", "kind": kind, "count": turns}, within_s=30 + 30 * (turns + 1))
        seen.append(told)
        found.ages_ms += [age for age in told["ages"] if age is not None]
    if peer.looks:
        told = await child.ask({"do": "look", "count": 10 * turns})
        found.looked_ms += [age for age in told["ages"] if age is not None]


def tell(result: Result, found: Mapping[str, Found]) -> None:
    """Add the figures of all peers, side by side."""
    ours = found[OURS].cpu
    for name, each in found.items():
        result.add(f"idle, a camera in the room: {name}", "% of a core", each.cpu)
    for name, each in found.items():
        if name != OURS and len(each.cpu) == len(ours):
            result.ratio(f"idle: {name} / {OURS}", each.cpu, ours)
    for name, each in found.items():
        for kind, told in each.turns.items():
            seen = [100 * one["seen"] / one["turns"] for one in told]
            result.add(f"{kind} turns whose first request has the picture: {name}", "%", seen)
            if told and "seen_after_call" in told[0]:
                called = [100 * one["seen_after_call"] / one["turns"] for one in told]
                result.add(f"{kind} turns whose second request, after a call, has it: {name}", "%", called)
    for name, each in found.items():
        result.add(f"age of the picture in a request: {name}", "ms", each.ages_ms)
    for name, each in found.items():
        result.add(f"age of the newest picture, encoded at a random moment: {name}", "ms", each.looked_ms)
    for kind in ("spoken", "typed"):
        for name, each in found.items():
            late_ms = [one_ms for told in each.turns[kind] for one_ms in told["stalls_ms"]]
            result.add(f"event loop late in a {kind} turn, longest of each: {name}", "ms", late_ms)
