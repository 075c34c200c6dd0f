"""Memory over time while pictures arrive and a model never answers; in a child process.

``python -m vision_agent.bench.memory`` is that process; it gets its requests on stdin.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from livekit import rtc

from ..options import VisionOptions
from ..views.vision import Vision
from . import serving
from .child import started
from .load import resident_mb
from .result import Progress, Result
from .stage import FPS, Stages
from .talk import QUESTION, talking

STEP_S = 1.0
ASK_EACH = 3
"""Steps from one question to the next."""
WARM_STEPS = 10
"""Steps before the first that counts, in which codecs, threads and the first pictures are made."""


async def run(quick: bool, progress: Progress, stages: Stages) -> Result:
    """Repeatedly ask a model that never answers, and measure how memory grows."""
    steps, warm_steps = (2, 1) if quick else (300, WARM_STEPS)
    return await watch(steps, warm_steps, progress, stages)


async def watch(steps: int, warm_steps: int, progress: Progress, stages: Stages) -> Result:
    """Run ``steps`` steps of a second, after ``warm_steps`` that don't count."""
    config = {"seconds": steps * STEP_S, "question_each_s": ASK_EACH * STEP_S, "size": "1280x720", "fps": FPS}
    result = Result(part="memory", config=config)
    command = [sys.executable, "-m", "vision_agent.bench.memory"]
    on = await stages.set()
    async with started("memory", command) as child:
        await child.ask(on.ticket("subscriber"))
        resident: list[float] = []
        for step in range(warm_steps + steps):
            if step % 10 == 0:
                progress(f"{step * STEP_S:.0f} of {(warm_steps + steps) * STEP_S:.0f} s")
            found = await child.ask({"do": "step", "asks": step % ASK_EACH == 0})
            if step >= warm_steps:
                resident.append(found["resident_mb"])
    result.add("resident, each second", "MB", resident)
    result.add("questions without an answer", "", [float(found["questions"])])
    result.limit("highest above the first", "MB", [max(resident) - resident[0]], 30)
    return result


async def _remember() -> None:
    told = await serving.requests()
    assert told is not None
    room = rtc.Room()
    await room.connect(told["url"], told["token"], rtc.RoomOptions(auto_subscribe=False))
    async with Vision.for_room(room, options=VisionOptions(demand="always")) as vision:
        async with talking(vision, answers=False) as talk:

            async def step(request: dict[str, Any]) -> dict[str, Any]:
                if request["asks"]:
                    talk.session.interrupt()
                    talk.session.generate_reply(user_input=QUESTION)
                await asyncio.sleep(STEP_S)
                return {"resident_mb": resident_mb(), "questions": len(talk.model.requests)}

            serving.answer({"joined": True})
            await serving.serve({"step": step})
    await room.disconnect()


if __name__ == "__main__":
    asyncio.run(_remember())
