"""How much one view is needed over time. Pure: time is an argument."""

from __future__ import annotations

from ..demand import POLICIES, Demand
from ..errors import ConfigError


class DemandLevel:
    """The demand of one view over time: it rises immediately and falls after a grace time.

    Args:
        policy: ``always``, ``ready`` or ``on_demand``.
        grace_s: How long the demand stays up after the last call, in seconds.

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
        """Ask for full pictures until ``release`` has been called as often as this."""
        self._holds += 1

    def release(self, now_s: float) -> None:
        """Undo one ``hold``; the grace time begins."""
        self._holds = max(0, self._holds - 1)
        self.touch(now_s)

    def at(self, now_s: float) -> Demand:
        """Return the demand at this moment."""
        return Demand.ACTIVE if self._holds or now_s < self._until_s else self._rest

    def falls_in_s(self, now_s: float) -> float | None:
        """Return the seconds until the demand falls by itself, or None if it will not."""
        if self._holds or now_s >= self._until_s or self._rest is Demand.ACTIVE:
            return None
        return self._until_s - now_s
