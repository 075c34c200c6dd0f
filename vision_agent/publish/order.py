"""Whether a stream sends its pictures in another order than they are shown in."""

from __future__ import annotations

from collections import deque

WINDOW, TIMES = 64, 3
"""``TIMES`` steps back among ``WINDOW`` pictures mean B-frames, not a change of the clock."""


class Order:
    """Follows the time stamps of one stream.

    A single step back means that the camera's clock was set or the stream started again; B-frames step
    back repeatedly.
    """

    def __init__(self) -> None:
        self._shown: deque[int] = deque(maxlen=WINDOW)
        self._back: deque[int] = deque(maxlen=TIMES)  # which pictures stepped back
        self._dts: int | None = None
        self._count = 0

    def is_other(self, pts: int | None, dts: int | None, *, is_key: bool) -> bool:
        """Note the next picture; return whether we now know that the order differs.

        Args:
            pts: Presentation time stamp, in the stream's time base, or None.
            dts: Decoding time stamp, or None.
            is_key: Whether it is a key frame, which refers to no earlier picture.
        """
        self._count += 1
        if pts is None:
            return False
        before_dts, self._dts = self._dts, dts
        is_back = bool(self._shown) and pts < self._shown[-1]
        if is_back and not is_key and dts is not None and before_dts is not None and pts >= dts > before_dts:
            return True  # the sender's decoding time stamps say so
        if is_back and (is_key or pts < min(self._shown)):
            self._shown.clear()
            self._back.clear()
        elif is_back:
            self._back.append(self._count)
        self._shown.append(pts)
        return len(self._back) == TIMES and self._count - self._back[0] < WINDOW
