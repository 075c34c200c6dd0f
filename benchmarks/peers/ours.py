"""vision_agent as ``vision-agent start`` runs it: ``Vision.for_room``, ``VisionAgent``, default options."""

from __future__ import annotations

import asyncio
from typing import Any

import cv2
import wire
from agents_turns import Turns, clocked
from livekit import rtc

from vision_agent import Frame, Vision, VisionAgent, VisionOptions, encode_jpeg
from vision_agent.bench.stage import newest_width


def call(frame: Frame, request: dict[str, Any]) -> bytes:
    """Encode in one thread, like the others."""
    side_px = request["side_px"] or VisionOptions().max_side_px
    return encode_jpeg(frame, max_side_px=side_px, quality=request["quality"]).data


async def encode(frame: Frame, request: dict[str, Any]) -> bytes:
    """Encode in a thread, as ``Vision`` does."""
    return await asyncio.to_thread(call, frame, request)


def wrap(planes: Any, size_wh: tuple[int, int]) -> Frame:
    """Return a frame as a track gives it."""
    return Frame(width=size_wh[0], height=size_wh[1], captured_s=0.0, planes_i420=planes)


async def main() -> None:
    """Encode; or join a room and answer questions."""
    cv2.setNumThreads(1)
    room, turns, held = rtc.Room(), Turns(), []

    async def join(request: dict[str, Any]) -> dict[str, Any]:
        await room.connect(request["url"], request["token"], rtc.RoomOptions(auto_subscribe=False))
        vision = await Vision.for_room(room).__aenter__()
        held.append(vision)
        await turns.start(VisionAgent(vision=vision), room)
        await wire.until(lambda: any(eye.watcher.latest is not None for eye in vision.eyes))
        return {"joined": True}

    async def look(request: dict[str, Any]) -> dict[str, Any]:
        vision, ages = held[0], []
        vision.hold()
        await wire.until(lambda: newest_width(vision.eyes[0].watcher) >= 1280)
        for _ in range(request["count"]):
            await wire.pause()
            (view,) = await vision.look()
            at_ms = wire.stamp.now_ms()
            if view.image is not None:
                ages.append(wire.age_of(await asyncio.to_thread(clocked.grey, view.image.data), at_ms))
        vision.release()
        return {"ages": ages}

    encoder = wire.encoder(encode, wrap, call)
    handlers = {"encode": encoder, "join": join, "idle": wire.idle, "turns": turns.ask, "look": look}
    await wire.serving.serve(handlers)
    await turns.session.aclose()
    for vision in held:
        await vision.aclose()
    if room.isconnected():
        await room.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
