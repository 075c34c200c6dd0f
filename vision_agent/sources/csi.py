"""The Raspberry Pi's ribbon-cable camera through picamera2.

Written from picamera2's manual and tested against a stand-in only: it was not run on hardware.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import numpy as np

from ..demand import Demand
from ..errors import SourceError
from ..imaging.frame import U8, Frame
from ..waiting import either

logger = logging.getLogger(__name__)

Picture = tuple[U8, float]
"""Planes, as in ``Frame.planes_i420``, and when they arrived, in seconds of ``time.monotonic()``."""

IDLE_INTERVAL_S = 0.25
"""How often a picture is copied while idle, in seconds; the camera keeps running."""
TAKE_WAIT_S = 5.0
"""How long the camera may take to give a picture, in seconds; one with a loose cable gives no error."""
CLOSE_WAIT_S = 1.0
"""How long closing waits for the camera, in seconds; if its driver hangs, the thread closes it later."""


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
        self._size_wh = size_wh
        self._demand = Demand.ACTIVE
        self._changed = asyncio.Event()
        self._camera: _Camera | None = None

    @property
    def problem(self) -> str | None:
        """None: ``frames`` raises what goes wrong."""
        return None

    def set_demand(self, demand: Demand) -> None:
        """Spend as much as ``demand`` says from now on; OFF closes the camera."""
        self._demand = demand
        self._changed.set()

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield a picture per interval of the demand.

        Raises:
            SourceError: picamera2 is missing, or the camera can't be opened or read.
        """
        await self.aclose()
        while True:
            self._changed.clear()
            if self._demand is Demand.OFF:
                await self.aclose()
                await self._changed.wait()
                continue
            if self._camera is None:
                self._camera = _Camera(self.number, size_wh=self._size_wh, fps=self.fps)
            try:
                planes, now_s = await self._camera.take()
            except SourceError:
                await self.aclose()
                raise
            width, height = self._size_wh
            yield Frame(width=width, height=height, captured_s=now_s, source=self.name, planes_i420=planes)
            if self._demand is Demand.IDLE:
                await either(self._changed, timeout_s=IDLE_INTERVAL_S)

    async def aclose(self) -> None:
        """Close the camera; safe to call twice."""
        camera, self._camera = self._camera, None
        if camera is not None:
            await camera.aclose()


class _Camera:
    """The camera and the thread that uses it, from opening to closing.

    The thread is a daemon: a driver that never returns blocks neither closing nor the exit of the process.
    """

    def __init__(self, number: int, *, size_wh: tuple[int, int], fps: float) -> None:
        self._number, self._size_wh, self._fps = number, size_wh, fps
        self._asked: SimpleQueue[Future[Picture] | None] = SimpleQueue()
        self._news = threading.Event()  # a picture is ready, or the camera must close
        self._closing = False
        self._closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name=f"csi {number}", daemon=True).start()

    async def take(self) -> Picture:
        """Return the next picture; opens the camera first if it is not open.

        Raises:
            SourceError: It can't be opened, or gives none.
        """
        picture: Future[Picture] = Future()
        self._asked.put(picture)
        return await asyncio.wrap_future(picture)

    async def aclose(self) -> None:
        """Ask the thread to close the camera after its current call, and wait a while for that."""
        self._closing = True
        self._news.set()
        self._asked.put(None)
        await either(self._closed, timeout_s=CLOSE_WAIT_S)
        if not self._closed.is_set():
            logger.warning("the camera does not close: its driver hangs", extra={"camera": self._number})

    def _run(self) -> None:
        camera: Any = None
        while (asked := self._asked.get()) is not None:
            if not asked.set_running_or_notify_cancel():
                continue
            try:
                if camera is None:
                    camera = self._open()
                asked.set_result(self._take(camera))
            except Exception as error:  # picamera2 raises anything; the thread must live to close the camera
                asked.set_exception(error if isinstance(error, SourceError) else self._stopped(error))
        try:
            if camera is not None:
                _close(camera)
        except Exception:
            logger.warning("the camera was not closed cleanly", extra={"camera": self._number}, exc_info=True)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._closed.set)

    def _take(self, camera: Any) -> Picture:
        self._news.clear()
        if not self._closing:
            job = camera.capture_array("main", wait=False, signal_function=lambda job: self._news.set())
            came = self._news.wait(TAKE_WAIT_S)
            if came and not self._closing:
                now_s = time.monotonic()
                return unpadded_i420(camera.wait(job), self._size_wh), now_s
        if self._closing:
            raise SourceError(f"csi://{self._number}: it was closed")
        raise SourceError(f"csi://{self._number}: no picture came for {TAKE_WAIT_S:g} s: check its cable")

    def _stopped(self, error: Exception) -> SourceError:
        stopped = SourceError(f"csi://{self._number}: the camera stopped: check its cable")
        stopped.__cause__ = error
        return stopped

    def _open(self) -> Any:
        try:
            from libcamera import ColorSpace  # both come with Raspberry Pi OS, not from PyPI's wheels
            from picamera2 import Picamera2
        except ImportError as error:
            raise SourceError(
                "csi:// needs picamera2: sudo apt install python3-picamera2, and a virtual environment made "
                "with --system-site-packages"
            ) from error
        camera = None
        try:
            camera = Picamera2(self._number)
            camera.configure(
                camera.create_video_configuration(
                    main={"size": self._size_wh, "format": "YUV420"},
                    controls={"FrameRate": self._fps},
                    colour_space=ColorSpace.Smpte170m(),  # BT.601, limited range: what a Frame means
                    buffer_count=3,
                )
            )
            camera.start()
        except (RuntimeError, IndexError, OSError) as error:
            if camera is not None:
                with suppress(Exception):  # only the first failure counts
                    camera.close()
            raise SourceError(
                f"csi://{self._number}: can't be opened: check the cable and rpicam-hello --list-cameras; "
                "only one program can use it"
            ) from error
        return camera


def _close(camera: Any) -> None:
    # stopping waits behind a pending picture request, and would wait forever if no picture comes
    flush = getattr(camera, "cancel_all_and_flush", None)  # not in an older picamera2
    if flush is not None:
        flush()
    camera.stop()
    camera.close()


def unpadded_i420(padded: U8, size_wh: tuple[int, int]) -> U8:
    """Take the padding out of picamera2's YUV420.

    Args:
        padded: Shape ``(h * 3 / 2, stride)``, uint8; Y, then U and V, whose rows are half a stride.
        size_wh: Width and height in pixels, both even.

    Returns:
        The planes, as in ``Frame.planes_i420``.
    """
    width, height = size_wh
    rows, stride = padded.shape
    full_h = rows * 2 // 3
    flat = padded.reshape(-1)
    luma = flat[: full_h * stride].reshape(full_h, stride)[:height, :width]
    chroma = flat[full_h * stride :].reshape(2, full_h // 2, stride // 2)[:, : height // 2, : width // 2]
    return np.concatenate([luma.reshape(-1), chroma.reshape(-1)])
