"""The recipe "Sample video frames" of LiveKit's docs: the newest frame of a stream at the end of the turn.

https://docs.livekit.io/agents/multimodality/vision/video - the agent keeps the newest frame of an open
stream and appends it to the message in ``on_user_turn_completed``; the model's client encodes it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import wire
from agents_turns import Turns, clocked
from livekit import rtc
from livekit.agents import Agent, llm
from livekit.agents.llm.utils import serialize_image
from livekit.agents.utils import images


class Recipe(Agent):
    """Sees the newest frame of the first video track."""

    def __init__(self, room: rtc.Room) -> None:
        super().__init__(instructions="You are a helpful voice AI assistant.")
        self.latest_frame: rtc.VideoFrame | None = None
        self._tasks: list[asyncio.Task[None]] = []
        room.on("track_subscribed", self._on_subscribed)

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        """Add the newest frame."""
        if self.latest_frame is not None:
            new_message.content.append(llm.ImageContent(image=self.latest_frame))

    def _on_subscribed(self, track: rtc.Track, *about: object) -> None:
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            self._tasks.append(asyncio.create_task(self._read(rtc.VideoStream(track))))

    async def _read(self, stream: rtc.VideoStream) -> None:
        async for event in stream:
            self.latest_frame = event.frame


def call(frame: rtc.VideoFrame, request: dict[str, Any]) -> bytes:
    """Encode like every provider client of LiveKit: on the event loop, and to a size only if one is set."""
    options = images.EncodeOptions(quality=request["quality"])
    if request["side_px"]:
        size_wh = (request["side_px"], request["side_px"] * frame.height // frame.width)
        options.resize_options = images.ResizeOptions(*size_wh, "scale_aspect_fit")
    return images.encode(frame, options)


async def encode(frame: rtc.VideoFrame, request: dict[str, Any]) -> bytes:
    """Encode like ``call``: on the event loop."""
    return call(frame, request)


def wrap(planes: Any, size_wh: tuple[int, int]) -> rtc.VideoFrame:
    """Return a frame as a track gives it."""
    return rtc.VideoFrame(*size_wh, rtc.VideoBufferType.I420, planes.tobytes())


async def main() -> None:
    """Encode; or join a room and answer questions."""
    room, turns = rtc.Room(), Turns()
    agent = Recipe(room)

    async def join(request: dict[str, Any]) -> dict[str, Any]:
        await room.connect(request["url"], request["token"])  # subscribes to every track, as JobContext does
        await turns.start(agent, room)
        await wire.until(lambda: agent.latest_frame is not None)
        return {"joined": True}

    async def look(request: dict[str, Any]) -> dict[str, Any]:
        ages = []
        for _ in range(request["count"]):
            await wire.pause()
            assert agent.latest_frame is not None
            picture = serialize_image(llm.ImageContent(image=agent.latest_frame)).data_bytes
            at_ms = wire.stamp.now_ms()
            ages.append(wire.age_of(await asyncio.to_thread(clocked.grey, picture), at_ms))
        return {"ages": ages}

    encoder = wire.encoder(encode, wrap, call)
    handlers = {"encode": encoder, "join": join, "idle": wire.idle, "turns": turns.ask, "look": look}
    await wire.serving.serve(handlers)
    await turns.session.aclose()
    if room.isconnected():
        await room.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
