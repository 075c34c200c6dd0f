"""Cameras in a child process: ``python -m vision_agent.bench.publisher``; it gets its requests on stdin.

Each camera is a participant that publishes a scene with the time in its pixels, as VP8 with simulcast.
The scene moves and has sensor noise, like that of a camera: decoding a still card costs only half.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from livekit import rtc

from ..imaging.frame import U8
from . import stamp
from .scene import pictures


async def publish(request: dict[str, Any]) -> None:
    """Join with each token, publish, answer once the first frames are sent; run until stdin closes."""
    size_wh, fps = tuple(request["size_wh"]), request["fps"]
    scene = pictures(size_wh)
    joining = [_join(request["url"], token, size_wh) for token in request["tokens"]]
    rooms, sources = zip(*await asyncio.gather(*joining), strict=True)
    pumping = asyncio.create_task(_pump(sources, scene, size_wh, fps), name="pump")
    print(json.dumps({"publishing": len(rooms)}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)  # closes when the benchmark is done
    pumping.cancel()
    await asyncio.gather(pumping, return_exceptions=True)
    for room in rooms:
        await room.disconnect()


async def _join(url: str, token: str, size_wh: tuple[int, int]) -> tuple[rtc.Room, rtc.VideoSource]:
    room, source = rtc.Room(), rtc.VideoSource(*size_wh)
    await room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
    track = rtc.LocalVideoTrack.create_video_track("camera", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=True)
    await room.local_participant.publish_track(track, options)
    return room, source


async def _pump(
    sources: Sequence[rtc.VideoSource], scene: list[U8], size_wh: tuple[int, int], fps: float
) -> None:
    started_s = time.perf_counter()
    for number in range(1_000_000_000):
        await asyncio.sleep(max(0.0, started_s + number / fps - time.perf_counter()))
        planes = scene[number % len(scene)].copy()
        stamp.put(planes[: size_wh[0] * size_wh[1]].reshape(size_wh[1], size_wh[0]), stamp.now_ms())
        frame = rtc.VideoFrame(*size_wh, rtc.VideoBufferType.I420, planes.tobytes())
        for source in sources:
            source.capture_frame(frame)


if __name__ == "__main__":
    asyncio.run(publish(json.loads(sys.stdin.readline())))
