"""A camera in ten lines that shows the testcard of a chosen moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from ..imaging.frame import Frame
from ..sources.testcard import render


class CardSource:
    """The testcard of a chosen moment, with a switch that stops the frames.

    Args:
        name: The view's name.
    """

    def __init__(self, name: str = "desk") -> None:
        self.name = name
        self.problem: str | None = None
        """Why it shows nothing, or None."""
        self.moment_s = 1_700_000_000.0
        """The time in its code and its clock, in seconds of Unix time."""
        self.silent = False
        """Whether it gives no frames, although ``problem`` is None."""

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield 50 frames a second, 640 x 360."""
        while True:
            if not self.silent:
                rgb = render(self.moment_s, (640, 360))
                yield Frame.from_rgb(rgb, captured_s=time.monotonic(), source=self.name)
            await asyncio.sleep(0.02)

    async def aclose(self) -> None:
        """There is nothing to close."""
