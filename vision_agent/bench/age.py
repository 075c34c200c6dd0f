"""Glass-to-context age: how old a picture is when a turn gets it, measured by the time in its pixels."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from livekit import rtc

from ..imaging.frame import Frame
from ..options import VisionOptions
from ..testing.clocked import grey
from . import stamp
from .cases import full_size, watching
from .result import Progress, Result, percentile
from .stage import FPS, Stages, publications

INTERVAL_MS = 1000 / FPS


async def run(quick: bool, progress: Progress, stages: Stages) -> Result:
    """Look at random moments while a bare stream of the same track records what arrives."""
    looks = 30 if quick else 300
    result = Result(part="age", config={"looks": looks, "size": "1280x720", "fps": FPS})
    bare_ms: list[float] = []
    ages_ms: dict[str, list[float]] = {}
    pause = random.Random(4)
    on = await stages.set()
    async with on.joined() as room:
        for policy, speaking in (("ready", True), ("always", False)):
            what = f"look() {'while the user speaks' if speaking else 'out of silence, always'}"
            found = ages_ms[what] = []
            async with watching(room, VisionOptions(demand=policy)) as vision:
                assert vision is not None
                if speaking:
                    vision.hold()
                await full_size(vision)
                (publication,) = publications(room)
                assert publication.track is not None
                reading = asyncio.create_task(_read(publication.track, bare_ms), name="bare stream")
                try:
                    for number in range(looks):
                        if number % 50 == 0:
                            progress(f"{what}, {number}/{looks}")
                        await asyncio.sleep(pause.uniform(0.01, 0.08))
                        (view,) = await vision.look()
                        at_ms = stamp.now_ms()
                        if view.image is not None:
                            _note(found, await asyncio.to_thread(grey, view.image.data), at_ms)
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
    result.add("bare VideoStream, as frames arrive", "ms", bare_ms)
    limit_ms = percentile(bare_ms, 95) + INTERVAL_MS
    for what, found in ages_ms.items():
        result.limit(f"vision_agent {what}", "ms", found, round(limit_ms, 1), percent=95)
    return result


async def _read(track: rtc.Track, ages_ms: list[float]) -> None:
    stream = rtc.VideoStream(track, capacity=1)
    try:
        async for event in stream:
            at_ms = stamp.now_ms()
            _note(ages_ms, Frame.from_video_frame(event.frame, captured_s=0.0).planes()[0], at_ms)
    finally:
        await stream.aclose()


def _note(ages_ms: list[float], luma: Any, at_ms: int) -> None:
    found = stamp.read(luma)
    if found is not None:
        ages_ms.append(float(stamp.age_ms(found, at_ms)))
