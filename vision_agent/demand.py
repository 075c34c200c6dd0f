"""How much a source should spend right now: the only thing that travels back up the pipeline."""

from __future__ import annotations

import enum
from typing import Protocol, runtime_checkable

from .errors import ConfigError


class Demand(enum.IntEnum):
    """What a view is needed for."""

    OFF = 0
    """Nobody needs it: closed, or not subscribed."""
    IDLE = 1
    """A cheap recent view is at hand."""
    ACTIVE = 2
    """Somebody speaks, types or looks: full size, full rate."""


POLICIES = {"always": Demand.ACTIVE, "ready": Demand.IDLE, "on_demand": Demand.OFF}
"""What each policy asks for while nobody looks."""


@runtime_checkable
class DemandAware(Protocol):
    """A source that can spend less while nobody looks; for other sources demand changes nothing."""

    @property
    def full_size_wh(self) -> tuple[int, int] | None:
        """Width and height in pixels of the largest picture to be had, or None if unknown."""

    def set_demand(self, demand: Demand) -> None:
        """Spend as much as ``demand`` says from now on; returns at once, and may be called often."""


class DemandLevel:
    """The demand of one view over time: up at once, down after a grace time.

    Args:
        policy: ``always``, ``ready`` or ``on_demand``.
        grace_s: Seconds for which the demand stays up after the last need.

    Raises:
        ConfigError: The policy is unknown.
    """

    def __init__(self, *, policy: str = "ready", grace_s: float = 5.0) -> None:
        if policy not in POLICIES:
            raise ConfigError(f"demand policy {policy!r}: use always, ready or on_demand")
        self._rest = POLICIES[policy]
        self._grace_s = grace_s
        self._until_s = float("-inf")
        self._holds = 0

    def touch(self, now_s: float) -> None:
        """Ask for full pictures until the grace time is over."""
        self._until_s = max(self._until_s, now_s + self._grace_s)

    def hold(self) -> None:
        """Ask for full pictures until ``release`` is called as often."""
        self._holds += 1

    def release(self, now_s: float) -> None:
        """Take back one ``hold``; the grace time begins."""
        self._holds = max(0, self._holds - 1)
        self.touch(now_s)

    def at(self, now_s: float) -> Demand:
        """Return the demand of this moment."""
        return Demand.ACTIVE if self._holds or now_s < self._until_s else self._rest

    def falls_in_s(self, now_s: float) -> float | None:
        """Return the seconds after which the demand falls by itself, or None if it will not."""
        if self._holds or now_s >= self._until_s or self._rest is Demand.ACTIVE:
            return None
        return self._until_s - now_s
