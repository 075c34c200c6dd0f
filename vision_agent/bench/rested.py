"""A view that rested: how soon it is at full size, and how long a typed turn after the rest takes."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from livekit import rtc
from PIL import Image

from ..options import VisionOptions
from ..views.watcher import Watcher
from .cases import SMALL_PX, watching
from .stage import HD_WH, newest_width, until
from .talk import talking

RAISE_LIMIT_S = 10.0
REST_S = 1.6
"""How long a view rests before a question, in seconds. A server asks a publisher for at most one key frame
a second: within a second after another change a new layer can take that long."""


@dataclass(kw_only=True)
class Typed:
    """The results of typed turns after a rest."""

    request_ms: list[float] = field(default_factory=list)
    """From the question to the request that reaches the model, in milliseconds, including the raise."""
    full_size: int = 0
    """Requests with a picture as large as the turn wants."""


def at_rest(policy: str) -> VisionOptions:
    """Return options of a view that rests by this policy as soon as nobody looks."""
    return VisionOptions(demand=policy, grace_s=0.0)


async def raised_ms(room: rtc.Room, policy: str, count: int, progress: Callable[[int], None]) -> list[float]:
    """Return the time of each raise to the first full-size frame, in milliseconds."""
    taken_ms = []
    async with watching(room, at_rest(policy)) as vision:
        assert vision is not None
        watcher = vision.eyes[0].watcher
        for number in range(count):
            progress(number + 1)
            await _rest(watcher, policy)
            begun_s = time.perf_counter()
            watcher.hold()
            while newest_width(watcher) < HD_WH[0]:
                if time.perf_counter() - begun_s > RAISE_LIMIT_S:
                    raise asyncio.TimeoutError(f"no full-size frame within {RAISE_LIMIT_S:g} s")
                await watcher.arrival(within_s=RAISE_LIMIT_S)
            taken_ms.append((time.perf_counter() - begun_s) * 1000)
            watcher.release()
    return taken_ms


async def typed(
    room: rtc.Room, policy: str, count: int, progress: Callable[[int], None], *, warm: bool = True
) -> Typed:
    """Type a question each time the view has rested; with ``warm``, an extra first one doesn't count."""
    found = Typed()
    options = at_rest(policy)
    async with watching(room, options) as vision:
        assert vision is not None
        async with talking(vision) as talk:
            for number in range(0 if warm else 1, count + 1):
                progress(number)
                await _rest(vision.eyes[0].watcher, policy)
                begun_s = time.perf_counter()
                request = (await talk.type())[-1]
                if number:
                    found.request_ms.append((request.asked_s - begun_s) * 1000)
                    widths = [await asyncio.to_thread(_width, each) for each in request.pictures]
                    found.full_size += max(widths, default=0) >= options.max_side_px
    return found


async def _rest(watcher: Watcher, policy: str) -> None:
    await asyncio.sleep(REST_S)
    if policy == "ready":
        await until(lambda: 0 < newest_width(watcher) <= SMALL_PX, "the small view")


def _width(picture: bytes) -> int:
    with Image.open(io.BytesIO(picture)) as opened:
        return opened.width
