"""What a pass-through does if the network is too slow: it skips pictures. Time is an argument."""

from __future__ import annotations

WINDOW_S = 2.0
"""Time over which the stream's own rate is measured, in seconds."""
PATIENCE_S = 3.0
"""How long the network's rate must be too low, in seconds; WebRTC's estimate starts low and then rises."""
TOO_LOW, ENOUGH = 0.6, 0.9
"""Shares of the stream's rate: below the first we skip pictures, from the second on no longer."""
RETRY_S = 15.0
"""After this time we send everything again, in seconds: only sending shows whether the network has room."""


class Thinning:
    """Decides which pictures of a stream to skip.

    First those that no other picture refers to; if that is not enough, all but key frames.
    """

    def __init__(self) -> None:
        self.target_bps: int | None = None
        """The rate that the network can carry, in bits per second."""
        self.rate_bps = 0.0
        """The rate of the stream, in bits per second."""
        self.level = 0
        """0: send everything; 1: skip pictures that no other one refers to; 2: send only key frames."""
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
        """Return whether to skip this picture; call it once for each, in order."""
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
        if self.level and is_key and is_enough:  # a picture that refers to a skipped one can't be sent
            self._set(0, now_s)
        elif self.level < 2 and self._low_s is not None and now_s - self._low_s >= PATIENCE_S:
            self._set(self.level + 1, now_s)

    def _set(self, level: int, now_s: float) -> None:
        self.level, self._changed_s, self._low_s = level, now_s, None
