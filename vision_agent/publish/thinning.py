"""What a pass-through can do where the network is too slow: leave pictures out. Time is an argument."""

from __future__ import annotations

WINDOW_S = 2.0
"""The stream's own rate is measured over this time, in seconds."""
PATIENCE_S = 3.0
"""A rate has to be too low for this long; WebRTC finds the network's in the first seconds, from below."""
TOO_LOW, ENOUGH = 0.6, 0.9
"""Shares of the stream's rate: below the first pictures are left out, from the second on no longer."""
RETRY_S = 15.0
"""After this time all is sent again, to see; what is not sent can't show that there is room for it."""


class Thinning:
    """Decides which pictures of a stream are left out.

    First those that nothing refers to; where that is not enough, all but key pictures.
    """

    def __init__(self) -> None:
        self.target_bps: int | None = None
        """What the network can take, in bits per second."""
        self.rate_bps = 0.0
        """What the stream brings, in bits per second."""
        self.level = 0
        """0: all is sent; 1: what nothing refers to is left out; 2: all but key pictures are."""
        self._window_s: float | None = None
        self._bytes = 0
        self._low_s: float | None = None
        self._changed_s = 0.0

    def note(self, length: int, now_s: float) -> None:
        """Note a picture of the stream, sent or not."""
        if self._window_s is None:
            self._window_s = now_s
        self._bytes += length
        passed_s = now_s - self._window_s
        if passed_s >= WINDOW_S:
            self.rate_bps = 8 * self._bytes / passed_s
            self._window_s, self._bytes = now_s, 0

    def leaves_out(self, *, is_key: bool, is_reference: bool, now_s: float) -> bool:
        """Tell whether this picture is left out; asked once for each, in order."""
        self._judge(now_s, is_key=is_key)
        if is_key or not self.level:
            return False
        return self.level == 2 or not is_reference

    def _judge(self, now_s: float, *, is_key: bool) -> None:
        target_bps, rate_bps = self.target_bps, self.rate_bps
        if target_bps is None or not rate_bps:
            return
        if target_bps >= TOO_LOW * rate_bps:
            self._low_s = None
        elif self._low_s is None:
            self._low_s = now_s
        is_enough = target_bps >= ENOUGH * rate_bps or now_s - self._changed_s >= RETRY_S
        if self.level and is_key and is_enough:  # pictures that refer to what was left out can't be sent
            self._set(0, now_s)
        elif self.level < 2 and self._low_s is not None and now_s - self._low_s >= PATIENCE_S:
            self._set(self.level + 1, now_s)

    def _set(self, level: int, now_s: float) -> None:
        self.level, self._changed_s, self._low_s = level, now_s, None
