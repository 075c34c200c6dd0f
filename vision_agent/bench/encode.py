"""From a frame to a JPEG: by size and by route, one thread, no key and no server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg
from livekit import rtc
from livekit.agents.utils import images

from ..imaging.frame import Frame, decode_jpeg
from ..imaging.jpeg import encode_jpeg, encode_rgb
from ..sources.testcard import render
from .result import Progress, Result
from .stage import Stages

SIZES = (((1280, 720), 512), ((1920, 1080), 768), ((1280, 720), 768))
QUALITY = 75  # livekit's default, so that all do the same work
Route = Callable[[], object]


async def run(quick: bool, progress: Progress, stages: Stages) -> Result:
    """Time every route on the same frame, in turns; needs no server."""
    return await asyncio.to_thread(_run, quick, progress)


def _run(quick: bool, progress: Progress) -> Result:
    rounds = 12 if quick else 60
    result = Result(
        part="encode", config={"rounds": rounds, "quality": QUALITY, "threads": 1, "scene": "testcard"}
    )
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for size_wh, side_px in SIZES:
            label = f"{size_wh[1]}p to {side_px} px"
            progress(label)
            routes = _routes(size_wh, side_px)
            taken_ms = _timed(routes, rounds)
            for name, values in taken_ms.items():
                result.add(f"{label}: {name}", "ms", values)
            ours, gate = taken_ms["vision_agent"], side_px * 5 == size_wh[0] * 2
            theirs, floor = taken_ms["livekit-agents encode"], taken_ms["copy + encode alone"]
            result.ratio(f"{label}: livekit-agents / ours", theirs, ours, at_least=12 if gate else 0)
            result.ratio(f"{label}: ours / (copy + encode alone)", ours, floor, at_most=4 if gate else 0)
    finally:
        cv2.setNumThreads(threads)
    return result


def _timed(routes: dict[str, Route], rounds: int) -> dict[str, list[float]]:
    taken_ms: dict[str, list[float]] = {name: [] for name in routes}
    order, shuffle = list(routes.items()), random.Random(4)
    for turn in range(rounds + 1):
        shuffle.shuffle(order)  # the route that ran before decides what is in the caches
        for name, route in order:
            started_s = time.perf_counter()
            route()
            if turn:  # the first round is a warm-up
                taken_ms[name].append((time.perf_counter() - started_s) * 1000)
    return taken_ms


def _routes(size_wh: tuple[int, int], side_px: int) -> dict[str, Route]:
    width, height = size_wh
    rgb = render(1_700_000_000.25, size_wh)
    frame = Frame.from_rgb(rgb, captured_s=0.0)
    assert frame.planes_i420 is not None
    planes = frame.planes_i420
    video = rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, planes.tobytes())
    rgba_bytes = np.dstack([rgb, np.full((height, width), 255, np.uint8)]).tobytes()
    rgba = rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, rgba_bytes)
    packet = encode_rgb(rgb, max_side_px=width, quality=90).data
    jpeg = Frame(width=width, height=height, captured_s=0.0, jpeg=packet)
    turned = Frame(width=width, height=height, captured_s=0.0, planes_i420=planes, rotation_deg=90)
    image = encode_jpeg(video, max_side_px=side_px, quality=QUALITY)
    small = Frame.from_rgb(decode_jpeg(image.data), captured_s=0.0).planes()
    resize = images.ResizeOptions(image.width, image.height, "scale_aspect_fit")
    options = images.EncodeOptions(quality=QUALITY, resize_options=resize)

    def ours(each: Frame | rtc.VideoFrame) -> Route:
        return lambda: encode_jpeg(each, max_side_px=side_px, quality=QUALITY)

    def floor() -> None:
        planes.copy()
        simplejpeg.encode_jpeg_yuv_planes(*small, quality=QUALITY)

    def through_bgr() -> None:
        bgr = cv2.cvtColor(planes.reshape(-1, width), cv2.COLOR_YUV2BGR_I420)
        scaled = cv2.resize(bgr, (image.width, image.height), interpolation=cv2.INTER_AREA)
        cv2.imencode(".jpg", scaled, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])

    return {
        "vision_agent": ours(video),
        "vision_agent, turned by 90": ours(turned),
        "vision_agent, from RGBA": ours(rgba),
        "vision_agent, from a JPEG packet": ours(jpeg),
        "copy + encode alone": floor,
        "OpenCV through BGR": through_bgr,
        "livekit-agents encode": lambda: images.encode(video, options),
    }
