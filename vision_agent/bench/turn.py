"""From the end of a turn to the request: our share of it; and how soon a view is at full size."""

from __future__ import annotations

import asyncio
import time

from ..options import VisionOptions
from ..vision import Vision
from .cases import SMALL_PX, watching
from .result import Progress, Result
from .stage import HD_WH, Stages, newest_width, until
from .talk import talking

RAISE_LIMIT_S = 10.0
REST_S = 1.6
"""A view rests so long before a question: a server asks a publisher for no more than one key frame a
second, so within a second of another change a new layer can take that long."""


async def run(quick: bool, progress: Progress, stages: Stages) -> Result:
    """Raise the demand, speak and type, with and without pictures."""
    blocks, each, raises = (1, 1, 1) if quick else (4, 5, 20)
    config = {"turns": blocks * each, "raises": raises, "size": "1280x720", "codec": "VP8 simulcast"}
    result = Result(part="turn", config=config)
    on = await stages.set()
    async with on.joined() as room:
        for policy in ("ready", "on_demand"):
            raised_ms = []
            async with watching(room, VisionOptions(demand=policy, grace_s=0.0)) as vision:
                for number in range(raises):
                    progress(f"{policy} to full size {number + 1}/{raises}")
                    raised_ms.append(await _raised_ms(vision, policy))
            name = f"{policy}: demand raised to full-size frame"
            if quick:  # one in twenty waits for a key frame: a single one says nothing
                result.add(name, "ms", raised_ms)
            else:
                result.limit(name, "ms", raised_ms, 300, percent=95)
        spoken: dict[bool, list[float]] = {True: [], False: []}
        typed: dict[bool, list[float]] = {True: [], False: []}
        whole: dict[bool, list[float]] = {True: [], False: []}
        shown = 0
        for block in range(blocks):
            for sees in (True, False):
                progress(f"turns {'with' if sees else 'without'} pictures, {block + 1}/{blocks}")
                async with watching(room, VisionOptions() if sees else None) as eyes:
                    if eyes is not None:
                        await eyes.opened()
                        await asyncio.sleep(REST_S)
                    async with talking(eyes) as talk:
                        for _ in range(each):
                            request = (await talk.speak())[-1]
                            shown += bool(request.pictures)
                            spoken[sees].append(talk.share_ms(request))
                        for _ in range(each):
                            begun_s = time.perf_counter()
                            request = (await talk.type())[-1]
                            shown += bool(request.pictures)
                            typed[sees].append(talk.share_ms(request))
                            whole[sees].append((request.asked_s - begun_s) * 1000)
    result.limit("spoken turn: our hooks", "ms", spoken[True], 5, percent=95)
    result.add("spoken turn: the same without pictures", "ms", spoken[False])
    result.limit("typed turn: our hooks", "ms", typed[True], 5, percent=95)
    result.add("typed turn: the same without pictures", "ms", typed[False])
    result.add("typed turn: question to request", "ms", whole[True])
    result.add("typed turn: the same without pictures, to request", "ms", whole[False])
    result.add("turns whose request had the picture", "%", [100 * shown / (2 * blocks * each)])
    return result


async def _raised_ms(vision: Vision | None, policy: str) -> float:
    assert vision is not None
    watcher = vision.eyes[0].watcher
    await asyncio.sleep(REST_S)
    if policy == "ready":
        await until(lambda: 0 < newest_width(watcher) <= SMALL_PX, "the small view")
    begun_s = time.perf_counter()
    watcher.hold()
    while newest_width(watcher) < HD_WH[0]:
        if time.perf_counter() - begun_s > RAISE_LIMIT_S:
            raise asyncio.TimeoutError(f"no full-size frame within {RAISE_LIMIT_S:g} s")
        await watcher.arrival(within_s=RAISE_LIMIT_S)
    raised_ms = (time.perf_counter() - begun_s) * 1000
    watcher.release()
    return raised_ms
