"""livekit-agents' own video input, ``RoomOptions(video_input=True)``, with a model that isn't realtime.

The session reads every frame of the linked participant's camera and passes it to a realtime model's
session. With a pipeline of STT, LLM and TTS, as here and as in the recipe, nothing uses the frames.
"""

from __future__ import annotations

import asyncio
from typing import Any

import wire
from agents_turns import Turns
from livekit import rtc
from livekit.agents import Agent


async def main() -> None:
    """Join a room and answer questions."""
    room, turns = rtc.Room(), Turns()

    async def join(request: dict[str, Any]) -> dict[str, Any]:
        await room.connect(request["url"], request["token"])
        await turns.start(Agent(instructions="Answer."), room, video_input=True)
        await wire.until(lambda: turns.session.input.video is not None)
        return {"joined": True}

    await wire.serving.serve({"join": join, "idle": wire.idle, "turns": turns.ask})
    await turns.session.aclose()
    if room.isconnected():
        await room.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
