"""The Raspberry Pi's ribbon-cable camera through picamera2.

Written from picamera2's manual and tried against a stand-in only: it was not run on hardware.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..demand import Demand
from ..errors import SourceError
from ..frame import U8, Frame
from ..waiting import either

IDLE_INTERVAL_S = 0.25
"""While idle a picture is copied this often, in seconds; the camera runs on."""


class CsiSource:
    """Yields the newest picture of a camera on the ribbon cable.

    Args:
        number: Which camera, from 0.
        size_wh: Width and height in pixels.
        fps: Frames per second.
        name: The view's name.
    """

    def __init__(self, number: int, *, size_wh: tuple[int, int], fps: float, name: str) -> None:
        self.name = name
        self.number = number
        self.full_size_wh: tuple[int, int] | None = size_wh
        self.fps = fps
        self._demand = Demand.ACTIVE
        self._changed = asyncio.Event()
        self._camera: Any = None
        self._thread = _thread(number)

    @property
    def problem(self) -> str | None:
        """What goes wrong is raised by ``frames``."""
        return None

    def set_demand(self, demand: Demand) -> None:
        """Spend as much as ``demand`` says from now on; OFF lets go of the camera."""
        self._demand = demand
        self._changed.set()

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield a picture per interval of the demand.

        Raises:
            SourceError: picamera2 is not there, or the camera can't be opened or read.
        """
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            if self._demand is Demand.OFF:
                await loop.run_in_executor(self._thread, self._close)
                await self._changed.wait()
                continue
            yield await loop.run_in_executor(self._thread, self._take)
            if self._demand is Demand.IDLE:
                await either(self._changed, timeout_s=IDLE_INTERVAL_S)

    async def aclose(self) -> None:
        """Let go of the camera; may be called twice."""
        if self._camera is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)
        self._thread = _thread(self.number)

    def _take(self) -> Frame:
        if self._camera is None:
            self._camera = self._open()
        assert self.full_size_wh is not None
        width, height = self.full_size_wh
        try:
            padded = self._camera.capture_array("main")
        except (RuntimeError, OSError) as error:
            self._close()
            raise SourceError(f"csi://{self.number}: the camera stopped: check its cable") from error
        now_s = time.monotonic()
        planes = unpadded_i420(padded, (width, height))
        return Frame(width=width, height=height, captured_s=now_s, source=self.name, planes_i420=planes)

    def _open(self) -> Any:
        try:
            from libcamera import ColorSpace  # both come with Raspberry Pi OS, not from PyPI's wheels
            from picamera2 import Picamera2
        except ImportError as error:
            raise SourceError(
                "csi:// needs picamera2: sudo apt install python3-picamera2, and a virtual environment made "
                "with --system-site-packages"
            ) from error
        try:
            camera = Picamera2(self.number)
            camera.configure(
                camera.create_video_configuration(
                    main={"size": self.full_size_wh, "format": "YUV420"},
                    controls={"FrameRate": self.fps},
                    colour_space=ColorSpace.Smpte170m(),  # BT.601, limited range: what a Frame means
                    buffer_count=3,
                )
            )
            camera.start()
        except (RuntimeError, IndexError, OSError) as error:
            raise SourceError(
                f"csi://{self.number}: can't be opened: check the cable and rpicam-hello --list-cameras; "
                "only one program can use it"
            ) from error
        return camera

    def _close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.stop()
            camera.close()


def _thread(number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"csi {number}")


def unpadded_i420(padded: U8, size_wh: tuple[int, int]) -> U8:
    """Take the padding out of picamera2's YUV420.

    Args:
        padded: Shape ``(h * 3 / 2, stride)``, uint8; Y, then U and V, whose rows are half a stride.
        size_wh: Width and height in pixels, both even.

    Returns:
        The planes, as ``Frame.planes_i420`` has them.
    """
    width, height = size_wh
    rows, stride = padded.shape
    full_h = rows * 2 // 3
    flat = padded.reshape(-1)
    luma = flat[: full_h * stride].reshape(full_h, stride)[:height, :width]
    chroma = flat[full_h * stride :].reshape(2, full_h // 2, stride // 2)[:, : height // 2, : width // 2]
    return np.concatenate([luma.reshape(-1), chroma.reshape(-1)])
