"""The cameras of this machine and what they can do, as Video4Linux reports it.

Structures and numbers come from ``linux/videodev2.h``. On macOS and Windows the list is empty:
there you open a camera by its name.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

if sys.platform == "linux":
    import fcntl

from ..errors import SourceError

Ioctl = Callable[[int, int, bytearray], int]

QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
VIDEO_CAPTURE, HAS_DEVICE_CAPS = 0x00000001, 0x80000000
DISCRETE = 1
CODES = {"MJPG": "mjpeg", "JPEG": "mjpeg", "YUYV": "yuyv", "H264": "h264"}
FORMATS = ("mjpeg", "h264", "yuyv")
"""Pixel formats a user can ask for, the cheapest to look at first."""
TO_PUBLISH = ("h264", "mjpeg", "yuyv")
"""The same, the cheapest to publish first."""
RAW = {"NV12": "nv12", "YU12": "yuv420p", "UYVY": "uyvy422", "BGR3": "bgr24", "RGB3": "rgb24", "GREY": "gray"}
"""Other formats FFmpeg reads, by the driver's four letters; used if there is nothing better."""
FULL_HD_WH = (1920, 1080)
COMFORTABLE_FPS, COMFORTABLE_PIXELS = 15.0, 1920 * 1080


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFormat:
    """One way a camera can send pictures."""

    pixel_format: str
    """``mjpeg``, ``h264``, ``yuyv``, or the four letters of another."""
    size_wh: tuple[int, int]
    """Width and height in pixels."""
    max_fps: float
    """Most pictures per second; 0 if the driver doesn't say."""
    smallest_wh: tuple[int, int] | None = None
    """If set, the camera offers every size from this one up to ``size_wh``, in steps."""
    step_wh: tuple[int, int] = (1, 1)
    """The steps in pixels."""

    def sizes(self) -> str:
        """Return its size, or its range of sizes, in words."""
        largest = f"{self.size_wh[0]}x{self.size_wh[1]}"
        smallest = self.smallest_wh
        return largest if smallest is None else f"{smallest[0]}x{smallest[1]} to {largest}"

    def at(self, size_wh: tuple[int, int] | None) -> CameraFormat | None:
        """Return the format at this size, or None if it lacks it; a range without a size: up to full HD."""
        if self.smallest_wh is None:
            return self if size_wh in (None, self.size_wh) else None
        wanted_wh = size_wh or (min(self.size_wh[0], FULL_HD_WH[0]), min(self.size_wh[1], FULL_HD_WH[1]))
        fits = all(
            low <= wanted <= high and (wanted - low) % max(step, 1) == 0
            for low, wanted, high, step in zip(
                self.smallest_wh, wanted_wh, self.size_wh, self.step_wh, strict=True
            )
        )
        if fits:
            return replace(self, size_wh=wanted_wh, smallest_wh=None)
        return self if size_wh is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera of this machine."""

    path: str
    """Its device, such as ``/dev/video0``."""
    name: str
    """What the driver calls it."""
    formats: tuple[CameraFormat, ...]
    """What it can send; empty if it does not answer."""
    problem: str | None = None
    """Why it does not answer, or None."""


def list_cameras(sysfs: Path = Path("/sys/class/video4linux"), dev: Path = Path("/dev")) -> list[Camera]:
    """Return the capture devices of this machine, in the order of their numbers."""
    if sys.platform != "linux" or not sysfs.is_dir():
        return []
    nodes = sorted(sysfs.glob("video*"), key=lambda node: int(node.name[5:] or 0))
    cameras = (_ask(dev / node.name, _name(node)) for node in nodes)
    return [camera for camera in cameras if camera is not None]


def choose_format(
    camera: Camera,
    *,
    size_wh: tuple[int, int] | None,
    fps: float | None,
    pixel_format: str | None,
    preferred: tuple[str, ...] = FORMATS,
) -> CameraFormat | None:
    """Choose what to ask a camera for; an argument that is None sets no condition.

    The preferred format wins, then a comfortable frame rate, then the largest size up to full HD.

    Returns:
        The choice, or None if the camera doesn't say what it can do.

    Raises:
        SourceError: The camera can't do what was asked for; the text says what it can do.
    """
    if not camera.formats:
        return None
    order = (*preferred, *RAW)
    fitting = [
        sized
        for each in camera.formats
        if each.pixel_format in order
        and pixel_format in (None, each.pixel_format)
        and (fps is None or not each.max_fps or each.max_fps >= fps - 0.01)
        and (sized := each.at(size_wh)) is not None
    ]
    if not fitting:
        can = ", ".join(sorted({f"{each.pixel_format} {each.sizes()}" for each in camera.formats}))
        raise SourceError(f"{camera.path}: it can't do this size, fps or format; it can do {can}")

    def rank(each: CameraFormat) -> tuple[bool, int, int]:
        pixels = each.size_wh[0] * each.size_wh[1]
        fits = pixels if pixels <= COMFORTABLE_PIXELS else -pixels
        return (each.max_fps or COMFORTABLE_FPS) < COMFORTABLE_FPS, order.index(each.pixel_format), -fits

    return min(fitting, key=rank)


def read_formats(fd: int, ioctl: Ioctl) -> tuple[CameraFormat, ...] | None:
    """Ask an open device what it can send; None if it doesn't capture pictures."""
    capability = bytearray(104)  # struct v4l2_capability
    ioctl(fd, QUERYCAP, capability)
    all_caps, device_caps = struct.unpack_from("=II", capability, 84)
    if not (device_caps if all_caps & HAS_DEVICE_CAPS else all_caps) & VIDEO_CAPTURE:
        return None
    formats = []
    for description in _each(fd, ENUM_FMT, 64, ioctl, struct.pack("=I", VIDEO_CAPTURE)):  # v4l2_fmtdesc
        code = bytes(description[44:48])
        name = code.decode("ascii", "replace").strip()
        for size in _each(fd, ENUM_FRAMESIZES, 44, ioctl, code):  # v4l2_frmsizeenum
            kind, width, height = struct.unpack_from("=III", size, 8)
            smallest_wh, step_wh = None, (1, 1)
            if kind != DISCRETE:  # a range: min, max and step of the width, then of the height
                low_w, width, step_w, low_h, height, step_h = struct.unpack_from("=6I", size, 12)
                smallest_wh, step_wh = (low_w, low_h), (step_w, step_h)
            formats.append(
                CameraFormat(
                    pixel_format=CODES.get(name, name),
                    size_wh=(width, height),
                    max_fps=_max_fps(fd, ioctl, code + struct.pack("=II", width, height)),
                    smallest_wh=smallest_wh,
                    step_wh=step_wh,
                )
            )
            if kind != DISCRETE:
                break
    return tuple(formats)


def _max_fps(fd: int, ioctl: Ioctl, wanted: bytes) -> float:
    fps = 0.0
    for interval in _each(fd, ENUM_FRAMEINTERVALS, 52, ioctl, wanted):  # v4l2_frmivalenum
        kind, numerator, denominator = struct.unpack_from("=III", interval, 16)
        fps = max(fps, denominator / numerator if numerator else 0.0)
        if kind != DISCRETE:  # a range begins with its shortest interval
            break
    return fps


def _each(fd: int, number: int, length: int, ioctl: Ioctl, wanted: bytes) -> Iterator[bytearray]:
    for index in range(256):
        answer = bytearray(length)
        answer[: 4 + len(wanted)] = struct.pack("=I", index) + wanted
        try:
            ioctl(fd, number, answer)
        except OSError:  # EINVAL: there are no more
            return
        yield answer


def _ask(path: Path, name: str) -> Camera | None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return Camera(path=str(path), name=name, formats=(), problem=(error.strerror or "").lower())
    try:
        formats = read_formats(fd, fcntl.ioctl)
    except OSError as error:
        return Camera(path=str(path), name=name, formats=(), problem=(error.strerror or "").lower())
    finally:
        os.close(fd)
    return None if formats is None else Camera(path=str(path), name=name, formats=formats)


def _name(node: Path) -> str:
    try:
        return (node / "name").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return node.name
