"""How large a view's frames get, learned from the frames that came. Pure: time is an argument."""

from __future__ import annotations

BREAK_S = 1.5
"""A longer pause between two frames is a break, in seconds; at rest a view gives a frame a second."""
SLOWEST_S = 2.0
"""How long to wait before we conclude that no larger frame comes, in seconds: a simulcast layer that a
browser has stopped encoding takes up to 1.9 s to come back."""
LEARNED_S = 60.0
"""How long we remember that no larger frame comes, in seconds."""


class Reach:
    """Decides whether a larger frame is worth waiting for.

    A source reports how large its frames can get, but that size may never come: a browser with little
    bandwidth sends small simulcast layers only. If no larger frame came while a turn waited, later
    turns don't wait for one, until a larger frame comes or a minute has passed.
    """

    def __init__(self) -> None:
        self._since_s = float("-inf")  # since when a large frame can be expected
        self._last: tuple[int, float] | None = None  # the newest frame's longest side, and when it came
        self._most_px: int | None = None  # probably no larger frame comes
        self._most_until_s = 0.0

    def raised(self, now_s: float) -> None:
        """Note that we asked for full size."""
        self._since_s = now_s

    def came(self, side_px: int, now_s: float) -> None:
        """Note a frame that came.

        After a break, or when frames get smaller, full size can be expected again: a camera that was
        unmuted or switched starts with small frames.

        Args:
            side_px: The frame's longest side, in pixels.
            now_s: When it came.
        """
        if self._most_px is not None and side_px > self._most_px:
            self._most_px = None
        if self._last is not None and (now_s - self._last[1] > BREAK_S or side_px < self._last[0]):
            self._since_s = max(self._since_s, now_s)
        self._last = side_px, now_s

    def is_large(self, side_px: int, *, wanted_px: int, full_px: int | None, now_s: float) -> bool:
        """Return whether a frame is as large as wanted, or as large as the source's frames get.

        Args:
            side_px: The frame's longest side, in pixels.
            wanted_px: Longest side that would be enough, in pixels.
            full_px: Longest side of the largest frame the source reports, or None if it reports none.
            now_s: The time now.
        """
        if full_px is None:
            return True
        if self._most_px is not None and now_s < self._most_until_s:
            full_px = min(full_px, self._most_px)
        return side_px >= min(wanted_px, full_px)

    def due_s(self, max_wait_s: float) -> float:
        """Return the time until which a larger frame is worth waiting for."""
        return self._since_s + max_wait_s

    def gave_up(self, side_px: int, now_s: float) -> None:
        """Note that nothing larger than this came in time."""
        if now_s - self._since_s >= SLOWEST_S:
            self._most_px, self._most_until_s = side_px, now_s + LEARNED_S
