"""From the end of a turn to the request: our share of the time; and how soon a view is at full size."""

from __future__ import annotations

import asyncio
import time

from livekit import rtc

from ..options import VisionOptions
from .cases import watching
from .rested import REST_S, raised_ms, typed
from .result import Progress, Result
from .stage import Stages
from .talk import talking

RAISED_MS = 300
"""Upper limit for the 95th percentile of raises, in milliseconds."""


async def run(quick: bool, progress: Progress, stages: Stages) -> Result:
    """Raise the demand, type after a rest, then speak and type, with and without pictures."""
    blocks, each, raises, rested = (1, 1, 1, 1) if quick else (4, 5, 60, 12)
    counts = {"turns": blocks * each, "raises": raises, "typed_after_rest": rested}
    result = Result(part="turn", config={**counts, "size": "1280x720", "codec": "VP8 simulcast"})
    on = await stages.set()
    async with on.joined() as room:
        for policy in ("ready", "on_demand"):
            await _raise(result, room, policy, raises, progress)
        for policy in ("on_demand",) if quick else ("ready", "on_demand"):
            await _type_rested(result, room, policy, rested, progress)
        await _talk(result, room, blocks, each, progress)
    return result


async def _raise(result: Result, room: rtc.Room, policy: str, count: int, progress: Progress) -> None:
    found = await raised_ms(
        room, policy, count, lambda number: progress(f"{policy} to full size {number}/{count}")
    )
    name = f"{policy}: demand raised to full-size frame"
    if count == 1:  # some wait for a key frame: a single one says nothing
        result.add(name, "ms", found)
        return
    result.limit(name, "ms", found, RAISED_MS, percent=95)
    over = sum(taken_ms > RAISED_MS for taken_ms in found)
    result.add(f"{policy}: raises that took more than {RAISED_MS} ms", "%", [100 * over / count])


async def _type_rested(result: Result, room: rtc.Room, policy: str, count: int, progress: Progress) -> None:
    found = await typed(
        room,
        policy,
        count,
        lambda number: progress(f"{policy}, typed after rest {number}/{count}"),
        warm=count > 1,
    )
    result.add(f"{policy}: typed after rest, question to request", "ms", found.request_ms)
    share = 100 * found.full_size / count
    result.add(f"{policy}: typed after rest, the request had a full-size picture", "%", [share])


async def _talk(result: Result, room: rtc.Room, blocks: int, each: int, progress: Progress) -> None:
    spoken: dict[bool, list[float]] = {True: [], False: []}
    written: dict[bool, list[float]] = {True: [], False: []}
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
                        written[sees].append(talk.share_ms(request))
                        whole[sees].append((request.asked_s - begun_s) * 1000)
    result.limit("spoken turn: our hooks", "ms", spoken[True], 5, percent=95)
    result.add("spoken turn: the same without pictures", "ms", spoken[False])
    result.limit("typed turn: our hooks", "ms", written[True], 5, percent=95)
    result.add("typed turn: the same without pictures", "ms", written[False])
    result.add("typed turn: question to request", "ms", whole[True])
    result.add("typed turn: the same without pictures, to request", "ms", whole[False])
    result.add("turns whose request had the picture", "%", [100 * shown / (2 * blocks * each)])
