"""How long turns with pictures block the event loop, beside the same turns without."""

from __future__ import annotations

import asyncio
import gc
import random

from livekit import rtc

from ..options import VisionOptions
from .cases import full_size, watching
from .load import LoopMonitor, settle_heap
from .result import Progress, Result, percentile
from .stage import Stages
from .talk import talking


async def run(quick: bool, progress: Progress, stages: Stages) -> Result:
    """Take turns in blocks, with and without pictures, and measure the delay of the loop."""
    blocks, turns = (1, 10) if quick else (5, 20)
    result = Result(part="stalls", config={"turns": blocks * turns, "blocks": blocks, "typed": True})
    late_ms: dict[bool, list[list[float]]] = {True: [], False: []}
    pause = random.Random(4)
    on = await stages.set()
    async with on.joined() as room:
        try:
            for block in range(blocks):
                for sees in (True, False):
                    progress(f"{turns} turns {'with' if sees else 'without'} pictures, {block + 1}/{blocks}")
                    late_ms[sees].append(await _block(room, sees, turns, pause))
        finally:
            gc.unfreeze()
    p99 = {sees: [percentile(block, 99) for block in found] for sees, found in late_ms.items()}
    worst = {sees: [max(block) for block in found] for sees, found in late_ms.items()}
    pooled = {
        sees: percentile([each for block in found for each in block], 99) for sees, found in late_ms.items()
    }
    result.add("vision_agent: p99 of each block", "ms", p99[True])
    result.add("without pictures: p99 of each block", "ms", p99[False])
    result.add("vision_agent: longest of each block", "ms", worst[True])
    result.add("without pictures: longest of each block", "ms", worst[False])
    result.limit("p99 of all above the same without pictures", "ms", [pooled[True] - pooled[False]], 2)
    return result


async def _block(room: rtc.Room, sees: bool, turns: int, pause: random.Random) -> list[float]:
    """Return how late each tick was in ``turns`` turns; an extra first turn is a warm-up."""
    async with watching(room, VisionOptions() if sees else None) as vision:
        async with talking(vision) as talk:
            if vision is not None:
                vision.hold()
                await full_size(vision)
            await talk.type()
            settle_heap()
            async with LoopMonitor() as monitor:
                for _ in range(turns):
                    await talk.type()
                    await asyncio.sleep(pause.uniform(0.02, 0.12))
            if vision is not None:
                vision.release()
    return monitor.late_ms
