"""When a packet is due, and when its picture counts as captured; time is an argument."""

from __future__ import annotations

from collections import deque

MAX_JUMP_S = 10.0
"""Time stamps further apart than this don't belong together: the clock takes a new anchor."""
MAX_LAG_S = 1.0
"""A reader further behind than this was paused or suspended: it goes on from where it was."""
DRIFT = 0.005
"""Seconds per second by which two clocks may drift apart: a camera's nominal rate can be that wrong, a
crystal's error is a hundredth of it."""
MAX_REORDERED, REORDERED_S = 4, 0.2
"""How many pictures may be shown before one that came earlier (B-frames), and how long they may wait for
it, in seconds. If more come, or they wait longer, the camera's clock was set back."""


class Pace:
    """Plays recorded time stamps at real speed."""

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = 0.0
        self._step_s = 1 / 30
        self._again = False
        self.late_s = 0.0
        """How late the last packet was when it was read, in seconds."""

    def restart(self) -> None:
        """Note that the time stamps begin again; the next packet follows on the last one."""
        self._again = True

    def due_s(self, stamp_s: float | None, now_s: float) -> float:
        """Return when a packet is due.

        Args:
            stamp_s: The packet's time stamp in seconds, or None if it has none.
            now_s: ``time.monotonic()``.
        """
        if self._offset_s is None:
            self._offset_s = now_s - (stamp_s or 0.0)
            self._last_s = stamp_s or 0.0
            return now_s
        if stamp_s is None:
            stamp_s = self._last_s + self._step_s
        step_s = stamp_s - self._last_s
        if self._again or not -MAX_LAG_S < step_s < MAX_JUMP_S:  # or a cut in the recording
            self._offset_s += self._last_s + self._step_s - stamp_s
            self._again = False
        elif 0 < step_s < MAX_LAG_S:
            self._step_s = step_s
        self._last_s = stamp_s
        self.late_s = max(0.0, now_s - (stamp_s + self._offset_s))
        if self.late_s > MAX_LAG_S:
            self._offset_s = now_s - stamp_s
        return stamp_s + self._offset_s

    def shown_s(self, stamp_s: float | None, now_s: float) -> float:
        """Return when a picture with this time stamp was due, never later than now."""
        if stamp_s is None or self._offset_s is None:
            return now_s
        shown_s = stamp_s + self._offset_s
        return shown_s if now_s - MAX_JUMP_S < shown_s <= now_s else now_s


class Arrivals:
    """Finds how long a live packet was on its way, compared with the fastest one seen.

    After a stall a network or a driver delivers its whole queue: those packets arrive now, but they
    show the past. Their time stamps tell the two cases apart: time stamps of a queue continue from the
    last ones, while those of a clock that was set back begin below them.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = 0.0
        self._highest_s = 0.0  # the latest time stamp
        self._below = deque[float](maxlen=MAX_REORDERED + 1)  # offsets of those since with earlier ones

    def note(self, stamp_s: float | None, now_s: float) -> None:
        """Note that the packet with this time stamp was read now."""
        if stamp_s is None:
            return
        offset_s, known_s = now_s - stamp_s, self._offset_s
        if known_s is None or abs(offset_s - known_s) > MAX_JUMP_S:
            known_s = self._anchored(offset_s, stamp_s)
        elif stamp_s >= self._highest_s:
            self._highest_s = stamp_s
            self._below.clear()
        else:
            self._below.append(offset_s)
            if len(self._below) > MAX_REORDERED and min(self._below) > known_s + REORDERED_S:
                known_s = self._anchored(min(self._below), stamp_s)
        self._offset_s = min(offset_s, known_s + DRIFT * (now_s - self._last_s))
        self._last_s = now_s

    def _anchored(self, offset_s: float, stamp_s: float) -> float:
        self._highest_s = stamp_s
        self._below.clear()
        return offset_s

    def captured_s(self, stamp_s: float | None, now_s: float) -> float:
        """Return when the picture with this time stamp would have arrived without delay."""
        if stamp_s is None or self._offset_s is None:
            return now_s
        return min(now_s, stamp_s + self._offset_s)
