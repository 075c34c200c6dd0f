"""The testcard: a moving scene whose every pixel is a function of time.

It shows a QR code ``VA-<n>`` (n counts the seconds of the clock), a line of large text, a clock
and a moving square, so that a test knows what a picture of any moment must show.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import lru_cache

import cv2
import numpy as np

from ..errors import ConfigError
from ..imaging.frame import U8, Frame

WORDS = ("RIVER", "APPLE", "TIGER", "CLOUD", "STONE", "MUSIC", "LEMON", "TRAIN", "PIANO", "GLASS")
_INK, _PAPER, _MOVER = (20, 20, 20), (236, 236, 228), (200, 40, 40)


def code_at(now_s: float) -> str:
    """Return what the QR code says at this moment."""
    return f"VA-{int(now_s)}"


def word_at(now_s: float) -> str:
    """Return the word in the line of large text at this moment."""
    return WORDS[int(now_s) % len(WORDS)]


def render(now_s: float, size_wh: tuple[int, int] = (1280, 720)) -> U8:
    """Draw the card for a moment.

    Args:
        now_s: Unix time in seconds.
        size_wh: Width and height in pixels, at least 160x90.

    Returns:
        RGB, shape ``(h, w, 3)``, uint8.
    """
    width, height = size_wh
    card = _still(int(now_s), size_wh).copy()
    side = max(4, height // 12)
    x = int((now_s % 4.0) / 4.0 * (width - side))
    cv2.rectangle(card, (x, height - side), (x + side - 1, height - 1), _MOVER, cv2.FILLED)
    return card


class TestcardSource:
    """A source that draws the card at a steady rate.

    Args:
        size_wh: Width and height in pixels.
        fps: Frames per second.
        name: The view's name.

    Raises:
        ConfigError: The size or the rate can't be used.
    """

    __test__ = False  # not a test, although its name begins with Test

    def __init__(
        self, *, size_wh: tuple[int, int] = (1280, 720), fps: float = 30.0, name: str = "testcard"
    ) -> None:
        if size_wh[0] < 160 or size_wh[1] < 90:
            raise ConfigError(f"testcard size {size_wh[0]}x{size_wh[1]}: at least 160x90 is needed")
        if not 0.1 <= fps <= 120:
            raise ConfigError(f"testcard fps {fps:g}: must be from 0.1 to 120")
        self.name = name
        self._size_wh = size_wh
        self._interval_s = 1.0 / fps

    @property
    def problem(self) -> str | None:
        """The card is always there."""
        return None

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield one frame per interval; a slow reader misses frames, but never gets an old one."""
        due_s = time.monotonic()
        while True:
            drawn_s = time.monotonic()
            rgb = await asyncio.to_thread(render, time.time(), self._size_wh)
            yield Frame.from_rgb(rgb, captured_s=drawn_s, source=self.name)
            due_s = max(due_s + self._interval_s, time.monotonic())
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def aclose(self) -> None:
        """Nothing is held open."""


@lru_cache(maxsize=4)
def _still(second: int, size_wh: tuple[int, int]) -> U8:
    width, height = size_wh
    card = np.full((height, width, 3), _PAPER, dtype=np.uint8)
    code = cv2.QRCodeEncoder.create().encode(code_at(second))
    modules = code.shape[0]
    scale = max(1, int(min(height * 0.7, width * 0.55)) // modules)
    qr = cv2.resize(code, (modules * scale, modules * scale), interpolation=cv2.INTER_NEAREST)
    left, top = int(width * 0.02), int(height * 0.15)
    qr = qr[: height - top, : width - left]
    card[top : top + qr.shape[0], left : left + qr.shape[1]] = qr[:, :, None]
    thickness = max(1, height // 180)
    clock = time.strftime("%H:%M:%S", time.gmtime(second))
    text_left = left + qr.shape[1] + int(width * 0.03)
    for text, line_top in ((f"TODAY: {word_at(second)}", 0.35), (clock, 0.6)):
        (text_w, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
        size = min(height / 300, (width - text_left - width * 0.02) / text_w)
        origin = (text_left, int(height * line_top))
        cv2.putText(card, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, thickness, cv2.LINE_AA)
    return card
