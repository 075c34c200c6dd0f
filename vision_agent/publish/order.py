"""Whether a stream's pictures are sent in another order than they are shown in."""

from __future__ import annotations

from collections import deque

WINDOW, TIMES = 64, 3
"""So many steps back among so many pictures are a stream's way, not an accident of its clock."""


class Order:
    """Follows the time stamps of one stream.

    A single step back is a camera's clock that was set, or a stream that began again; B-frames step
    back again and again.
    """

    def __init__(self) -> None:
        self._shown: deque[int] = deque(maxlen=WINDOW)
        self._back: deque[int] = deque(maxlen=TIMES)  # which pictures stepped back
        self._dts: int | None = None
        self._count = 0

    def is_other(self, pts: int | None, dts: int | None, *, is_key: bool) -> bool:
        """Note the next picture; return whether it is now known that the order is another one.

        Args:
            pts: When it is shown, in the stream's own unit, or None.
            dts: When it is to be decoded, or None.
            is_key: Whether it is a key picture, which refers to none before it.
        """
        self._count += 1
        if pts is None:
            return False
        before_dts, self._dts = self._dts, dts
        is_back = bool(self._shown) and pts < self._shown[-1]
        if is_back and not is_key and dts is not None and before_dts is not None and pts >= dts > before_dts:
            return True  # its sender says so
        if is_back and (is_key or pts < min(self._shown)):
            self._shown.clear()
            self._back.clear()
        elif is_back:
            self._back.append(self._count)
        self._shown.append(pts)
        return len(self._back) == TIMES and self._count - self._back[0] < WINDOW
