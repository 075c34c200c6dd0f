"""Time in the pixels: a strip of black and white cells that says when a picture was taken.

It survives video coding, scaling to a third or less, and JPEG. The clock is ``time.monotonic()``,
which all processes of a machine share. Needs only numpy: scripts in other environments load it, too.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]

TIME_BITS, CHECK_BITS = 24, 8  # milliseconds, modulo 4.6 hours; then their checksum
CELLS = TIME_BITS + CHECK_BITS
STRIP = 12
"""The strip's height as a share of the picture's."""
BLACK, WHITE = 30, 220


def now_ms() -> int:
    """Return the time now as a stamp."""
    return time.monotonic_ns() // 1_000_000 % (1 << TIME_BITS)


def put(luma: U8, stamp_ms: int) -> None:
    """Draw the strip over the top of a luma plane ``(h, w)``, in place."""
    height, width = luma.shape
    word = stamp_ms << CHECK_BITS | _check(stamp_ms)
    bits = np.array([word >> (CELLS - 1 - cell) & 1 for cell in range(CELLS)])
    cell_of_column = np.arange(width) * CELLS // width
    luma[: height // STRIP] = np.where(bits[cell_of_column], WHITE, BLACK)


def read(luma: U8) -> int | None:
    """Return the stamp of a luma plane or grey picture ``(h, w)`` of any size, or None if there is none."""
    height, width = luma.shape
    if width < 3 * CELLS or height < 4 * STRIP:
        return None
    rows = luma[height // STRIP // 3 : max(height // STRIP * 2 // 3, height // STRIP // 3 + 1)]
    middles = (2 * np.arange(CELLS) + 1) * width // (2 * CELLS)
    word = 0
    for level in rows[:, middles].mean(axis=0):
        word = word << 1 | int(level > (BLACK + WHITE) / 2)
    stamp_ms, check = word >> CHECK_BITS, word & ((1 << CHECK_BITS) - 1)
    return stamp_ms if check == _check(stamp_ms) else None


def age_ms(stamp_ms: int, at_ms: int) -> int:
    """Return the milliseconds from a stamp to a later moment."""
    return (at_ms - stamp_ms) % (1 << TIME_BITS)


def _check(stamp_ms: int) -> int:
    return (stamp_ms * 0x9E3779B1 >> 13 ^ 0x5A) & ((1 << CHECK_BITS) - 1)
