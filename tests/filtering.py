"""Pictures with something to hide, filters that hide it or fail, and readers for what is still visible."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from livekit import rtc

from vision_agent import Frame, FrameSource, open_source
from vision_agent.imaging.frame import U8
from vision_agent.imaging.jpeg import encode_rgb
from vision_agent.models.reading import read_codes
from vision_agent.publish.publisher import Publisher, PublishState
from vision_agent.testing.server import LocalServer
from vision_agent.views.filters import PictureFilter

from .publishing import ROOM, access_to

KINDS = ("limited", "full", "bt709", "full bt709", "jpeg")
"""What a source may give."""
ROTATIONS = (0, 90, 180, 270)
QR_REGION = (0.0, 0.1, 0.425, 0.9)
"""Where the testcard's code is, at 16:9; its text is right of it."""
GREY = 130
"""What MaskRegion's luma of 128 is in RGB, within two levels."""


@lru_cache(maxsize=8)
def two_codes(hidden: str = "HIDDEN", size_wh: tuple[int, int] = (640, 360)) -> U8:
    """Draw a picture with a code in its left half and ``SHOWN`` in its right one, on coloured ground."""
    width, height = size_wh
    across, down = np.linspace(40, 215, width), np.linspace(50, 205, height)
    planes = [
        np.tile(across, (height, 1)),
        np.tile(down[:, None], (1, width)),
        np.tile(across[::-1], (height, 1)),
    ]
    picture = np.stack(planes, axis=-1).astype(np.uint8)
    for text, left in ((hidden, 0.06), ("SHOWN", 0.56)):
        code = cv2.QRCodeEncoder.create().encode(text)
        scale = int(0.36 * width) // code.shape[0]
        code = np.kron(code, np.ones((scale, scale), np.uint8))
        x, y = int(left * width), (height - code.shape[0]) // 2
        picture[y : y + code.shape[0], x : x + code.shape[1]] = code[:, :, None]
    return picture


def frame_of(upright: U8, *, kind: str = "limited", rotation_deg: int = 0) -> Frame:
    """Make the frame that a source would give for this picture; upright, it shows exactly the picture."""
    stored = np.ascontiguousarray(np.rot90(upright, k=rotation_deg // 90))
    height, width = stored.shape[:2]
    if kind == "jpeg":
        packet = encode_rgb(stored, max_side_px=max(width, height), quality=97).data
        return Frame(
            width=width,
            height=height,
            captured_s=1.0,
            jpeg=packet,
            rotation_deg=rotation_deg,
            full_range=True,
        )
    full_range, bt709 = "full" in kind, "bt709" in kind
    kr, kb = (0.2126, 0.0722) if bt709 else (0.299, 0.114)  # ITU-R BT.709-6, 3.2; BT.601-7, 2.5.1
    r, g, b = (stored[..., i] / 255 for i in range(3))
    y = kr * r + (1 - kr - kb) * g + kb * b
    padding = ((0, height % 2), (0, width % 2))
    cb, cr = (
        np.pad(plane, padding, mode="edge").reshape(-(-height // 2), 2, -(-width // 2), 2).mean(axis=(1, 3))
        for plane in ((b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr))
    )
    planes = (255 * y, 255 * cb + 128, 255 * cr + 128)
    if not full_range:
        planes = (219 * y + 16, 224 * cb + 128, 224 * cr + 128)
    packed = np.concatenate(
        [np.clip(np.rint(plane), 0, 255).astype(np.uint8).reshape(-1) for plane in planes]
    )
    return Frame(
        width=width,
        height=height,
        captured_s=1.0,
        planes_i420=packed,
        rotation_deg=rotation_deg,
        full_range=full_range,
        bt709=bt709,
    )


def texts_in(rgb: U8) -> set[str]:
    """Read the codes in a picture, also after its contrast has been spread."""
    low, high = int(rgb.min()), int(rgb.max())
    spread = ((rgb.astype(np.float32) - low) * (255 / max(1, high - low))).astype(np.uint8)
    return {mark.text for each in (rgb, spread) for mark in read_codes(each)}


def texts_of(frame: Frame) -> set[str]:
    return texts_in(frame.to_rgb())


@dataclass(frozen=True)
class RgbMask:
    """Covers a region in grey, as a filter of RGB."""

    xyxy: tuple[float, float, float, float]
    layout: Literal["rgb"] = "rgb"

    def apply(self, picture: tuple[U8, ...]) -> tuple[U8, ...]:
        rgb = picture[0].copy()
        height, width = rgb.shape[:2]
        left, top, right, bottom = self.xyxy
        rgb[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = GREY
        return (rgb,)


class FailingFilter:
    """Raises an error while the test wants it to."""

    layout: Literal["i420"] = "i420"

    def __init__(self) -> None:
        self.fails = True
        self.calls = 0

    def apply(self, picture: tuple[U8, ...]) -> tuple[U8, ...]:
        self.calls += 1
        if self.fails:
            raise ValueError("no faces model")
        return picture


class StillSource:
    """Gives one picture again and again."""

    problem: str | None = None

    def __init__(self, still: Frame, *, name: str = "desk") -> None:
        self.name = name
        self._still = still

    async def frames(self) -> AsyncIterator[Frame]:
        while True:
            yield replace(self._still, captured_s=time.monotonic(), source=self.name)
            await asyncio.sleep(0.03)

    async def aclose(self) -> None:
        """Nothing is held."""


def write_still_clip(
    path: Path, picture: U8, *, codec: str = "libx264", options: dict[str, str], seconds: float = 4.0
) -> Path:
    """Write a clip of 15 pictures a second that are all the same."""
    height, width = picture.shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=15)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = dict(options)
        for index in range(round(seconds * 15)):
            shown = av.VideoFrame.from_ndarray(picture, format="rgb24")
            shown.pts, shown.time_base = index, Fraction(1, 15)
            container.mux(stream.encode(shown))
        container.mux(stream.encode())
    return path


class Spectator:
    """A viewer in the room who reads the codes in every picture."""

    def __init__(self, room: rtc.Room) -> None:
        self.count = 0
        self.texts: set[str] = set()
        """All that was ever read."""
        self.latest: Frame | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        room.on("track_subscribed", lambda track, *_: self._watch(track))

    def _watch(self, track: rtc.Track) -> None:
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            self._tasks.add(asyncio.create_task(self._read(track), name="test: spectator"))

    async def _read(self, track: rtc.Track) -> None:
        stream = rtc.VideoStream(track, capacity=1)
        try:
            async for event in stream:
                turned = 90 * int(event.rotation)  # type: ignore[call-overload]  # the SDK says it is an enum
                frame = Frame.from_video_frame(event.frame, captured_s=0.0, rotation_deg=turned)
                if frame.width <= 8:  # a black frame that the SDK creates where a track starts or ends
                    continue
                self.texts |= await asyncio.to_thread(texts_of, frame)
                self.latest = frame
                self.count += 1
        finally:
            await stream.aclose()

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def spectating(server: LocalServer) -> AsyncIterator[Spectator]:
    room = rtc.Room()
    spectator = Spectator(room)
    await room.connect(server.url, server.token("spectator", ROOM))
    try:
        yield spectator
    finally:
        await spectator.aclose()
        await room.disconnect()


@asynccontextmanager
async def publishing_with(
    filters: Sequence[PictureFilter],
    source: FrameSource | str | Path,
    server: LocalServer,
    *,
    encode: bool = False,
    on_change: Callable[[PublishState], None] = lambda state: None,
) -> AsyncIterator[Publisher]:
    opened = open_source(str(source)) if isinstance(source, str | Path) else source
    publisher = Publisher(opened, access_to(server), encode=encode, filters=filters, on_change=on_change)
    running = asyncio.create_task(publisher.run(), name="test: publisher")
    try:
        yield publisher
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
