"""How much a source should spend now: the only information that flows up the pipeline."""

from __future__ import annotations

import enum
from typing import Protocol, runtime_checkable


class Demand(enum.IntEnum):
    """What a view is needed for."""

    OFF = 0
    """Nobody needs it: closed, or not subscribed."""
    IDLE = 1
    """Keep a cheap recent view ready."""
    ACTIVE = 2
    """Somebody speaks, types or looks: full size, full rate."""


POLICIES = {"always": Demand.ACTIVE, "ready": Demand.IDLE, "on_demand": Demand.OFF}
"""What each policy asks for while nobody looks."""


@runtime_checkable
class DemandAware(Protocol):
    """A source that can spend less while nobody looks; for other sources demand changes nothing."""

    @property
    def full_size_wh(self) -> tuple[int, int] | None:
        """Width and height in pixels of the largest available picture, or None if unknown."""

    def set_demand(self, demand: Demand) -> None:
        """Spend as much as ``demand`` says from now on; returns immediately, and may be called often."""
