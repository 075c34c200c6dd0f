"""GetStream's Vision-Agents: ``frame_to_jpeg_bytes`` in a pool of four threads, as its VLM plugins call it.

Its transport is Stream's own service, which we can't run here. So we measure only the picture, without
camera and turns.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import av
import wire
from vision_agents.core.utils.video_utils import frame_to_jpeg_bytes

DEFAULT_WH = (800, 600)
"""The size into which ``openai.ChatCompletionsVLM`` and similar plugins fit a frame."""
POOL = ThreadPoolExecutor(max_workers=4)


def call(frame: av.VideoFrame, request: dict[str, Any]) -> bytes:
    """Encode to the requested size, or to their default."""
    size_wh = (request["side_px"],) * 2 if request["side_px"] else DEFAULT_WH
    data: bytes = frame_to_jpeg_bytes(frame, *size_wh, request["quality"])
    return data


async def encode(frame: av.VideoFrame, request: dict[str, Any]) -> bytes:
    """Encode like the plugins."""
    return await asyncio.get_running_loop().run_in_executor(POOL, call, frame, request)


def wrap(planes: Any, size_wh: tuple[int, int]) -> av.VideoFrame:
    """Return a frame as aiortc gives it."""
    return av.VideoFrame.from_ndarray(planes.reshape(-1, size_wh[0]), format="yuv420p")


if __name__ == "__main__":
    asyncio.run(wire.serving.serve({"encode": wire.encoder(encode, wrap, call)}))
