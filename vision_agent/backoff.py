"""How long to wait before the next attempt."""

from __future__ import annotations

import random


class Backoff:
    """Doubles the wait with each failure, up to a limit.

    Args:
        first_s: The first wait, in seconds.
        max_s: The longest wait, in seconds.
        jitter: Share of the wait that is random, so that many clients don't come back at the same time.
    """

    def __init__(self, first_s: float, max_s: float, *, jitter: float = 0.0) -> None:
        self._first_s, self._max_s, self._jitter = first_s, max_s, jitter
        self._next_s = first_s

    def reset(self) -> None:
        """Start again with the first wait."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """Return how long to wait now, in seconds."""
        wait_s, self._next_s = self._next_s, min(2 * self._next_s, self._max_s)
        return wait_s * (1 - self._jitter * random.random())
