"""Cameras, without hardware: requests to the driver, the chosen format, and messages about faults."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest

from vision_agent import ConfigError, SourceError, open_source
from vision_agent.demand import Demand
from vision_agent.imaging.frame import U8
from vision_agent.sources import csi, uri
from vision_agent.sources.cameras import (
    TO_PUBLISH,
    Camera,
    CameraFormat,
    choose_format,
    list_cameras,
    read_formats,
)
from vision_agent.sources.capture import CaptureSource
from vision_agent.sources.csi import CsiSource, unpadded_i420
from vision_agent.sources.faults import explain

from .waiting import until
from .watching import watched

WEBCAM = {
    b"YUYV": {(640, 480): (30, 15), (1280, 720): (10,)},
    b"MJPG": {(640, 480): (30,), (1920, 1080): (30, 60), (3840, 2160): (30,)},
}


class Driver:
    """Answers a webcam's ioctls as ``linux/videodev2.h`` lays them out."""

    capabilities = 0x04200001  # streaming, extended pixel format, video capture

    def __call__(self, fd: int, number: int, answer: bytearray) -> int:
        if number == 0x80685600:  # VIDIOC_QUERYCAP
            struct.pack_into("=II", answer, 84, self.capabilities | 0x80000000, self.capabilities)
            return 0
        (index,) = struct.unpack_from("=I", answer)
        if number == 0xC0405602:  # VIDIOC_ENUM_FMT
            struct.pack_into("=4s", answer, 44, self.nth(list(WEBCAM), index))
        elif number == 0xC02C564A:  # VIDIOC_ENUM_FRAMESIZES
            sizes = WEBCAM[bytes(answer[4:8])]
            struct.pack_into("=III", answer, 8, 1, *self.nth(list(sizes), index))
        elif number == 0xC034564B:  # VIDIOC_ENUM_FRAMEINTERVALS
            width, height = struct.unpack_from("=II", answer, 8)
            rates = WEBCAM[bytes(answer[4:8])][width, height]
            struct.pack_into("=III", answer, 16, 1, 1, self.nth(list(rates), index))
        return 0

    @staticmethod
    def nth(things: list[Any], index: int) -> Any:
        if index >= len(things):
            raise OSError(errno.EINVAL, "Invalid argument")
        return things[index]


@pytest.fixture
def webcam() -> Camera:
    formats = read_formats(3, Driver())
    assert formats is not None
    return Camera(path="/dev/video0", name="Webcam", formats=formats)


def test_the_driver_is_asked_for_formats_sizes_and_rates(webcam: Camera) -> None:
    assert [(each.pixel_format, each.size_wh, each.max_fps) for each in webcam.formats] == [
        ("yuyv", (640, 480), 30),
        ("yuyv", (1280, 720), 10),
        ("mjpeg", (640, 480), 30),
        ("mjpeg", (1920, 1080), 60),
        ("mjpeg", (3840, 2160), 30),
    ]


def test_a_device_that_does_not_capture_is_no_camera() -> None:
    metadata = Driver()
    metadata.capabilities = 0x04A00000  # metadata capture, as every second node of a webcam
    assert read_formats(3, metadata) is None


@pytest.mark.parametrize(
    ("size_wh", "fps", "pixel_format", "chosen"),
    [
        (None, None, None, ("mjpeg", (1920, 1080))),  # undecoded while nobody looks, full HD at most
        ((640, 480), None, None, ("mjpeg", (640, 480))),
        ((1280, 720), None, None, ("yuyv", (1280, 720))),
        (None, None, "yuyv", ("yuyv", (640, 480))),  # 10 pictures a second are not comfortable
        ((3840, 2160), None, None, ("mjpeg", (3840, 2160))),
        (None, 60, None, ("mjpeg", (1920, 1080))),
    ],
)
def test_the_cheapest_fitting_format_is_chosen(
    webcam: Camera,
    size_wh: tuple[int, int] | None,
    fps: float | None,
    pixel_format: str | None,
    chosen: tuple[str, tuple[int, int]],
) -> None:
    found = choose_format(webcam, size_wh=size_wh, fps=fps, pixel_format=pixel_format)
    assert found is not None and (found.pixel_format, found.size_wh) == chosen


def test_to_publish_h264_is_asked_for_where_it_is_to_be_had(webcam: Camera) -> None:
    h264 = CameraFormat(pixel_format="h264", size_wh=(1280, 720), max_fps=30.0)
    both = replace(webcam, formats=(*webcam.formats, h264))
    ask = partial(choose_format, size_wh=None, fps=None, pixel_format=None)
    assert ask(both, preferred=TO_PUBLISH) == h264
    for other in (ask(both), ask(webcam, preferred=TO_PUBLISH)):
        assert other is not None and other.pixel_format == "mjpeg"


def test_what_a_camera_can_not_do_is_said_with_what_it_can(webcam: Camera) -> None:
    with pytest.raises(SourceError, match=r"/dev/video0: it can't do this .*; it can do mjpeg 1920x1080, "):
        choose_format(webcam, size_wh=(800, 600), fps=None, pixel_format=None)
    with pytest.raises(SourceError, match="it can't do this size, fps or format"):
        choose_format(webcam, size_wh=None, fps=None, pixel_format="h264")
    silent = Camera(path="/dev/video0", name="?", formats=())
    assert choose_format(silent, size_wh=(800, 600), fps=None, pixel_format=None) is None


class RangeDriver(Driver):
    """Scales to any even size and sends raw pictures, as the Raspberry Pi's own driver does."""

    formats = (b"NV12", b"MJPG", b"XYZ9")

    def __call__(self, fd: int, number: int, answer: bytearray) -> int:
        (index,) = struct.unpack_from("=I", answer)
        if number == 0xC0405602:  # VIDIOC_ENUM_FMT
            struct.pack_into("=4s", answer, 44, self.nth(list(self.formats), index))
        elif number == 0xC02C564A:  # VIDIOC_ENUM_FRAMESIZES
            struct.pack_into("=I6I", answer, 8, self.nth([3], index), 32, 2592, 2, 32, 1944, 2)  # stepwise
        elif number == 0xC034564B:  # VIDIOC_ENUM_FRAMEINTERVALS
            struct.pack_into("=III", answer, 16, self.nth([3], index), 1, 90)  # from a 90th of a second
        else:
            return super().__call__(fd, number, answer)
        return 0


@pytest.mark.parametrize(
    ("size_wh", "chosen_wh"),
    [(None, (1920, 1080)), ((1280, 720), (1280, 720)), ((2592, 1944), (2592, 1944)), ((32, 32), (32, 32))],
)
def test_of_a_range_of_sizes_any_can_be_had(
    size_wh: tuple[int, int] | None, chosen_wh: tuple[int, int]
) -> None:
    formats = read_formats(3, RangeDriver())
    assert formats is not None
    camera = Camera(path="/dev/video0", name="mmal service", formats=formats)
    found = choose_format(camera, size_wh=size_wh, fps=30, pixel_format=None)
    assert found is not None and (found.pixel_format, found.size_wh) == ("mjpeg", chosen_wh)
    for size in ((1281, 720), (4000, 3000), (16, 16)):
        with pytest.raises(SourceError, match="it can do NV12 32x32 to 2592x1944, XYZ9 32x32 to"):
            choose_format(camera, size_wh=size, fps=None, pixel_format=None)


def test_raw_pictures_are_taken_where_there_is_nothing_better() -> None:
    class RawDriver(RangeDriver):
        formats = (b"XYZ9", b"GREY", b"NV12")

    formats = read_formats(3, RawDriver())
    assert formats is not None
    camera = Camera(path="/dev/video0", name="raw", formats=formats)
    found = choose_format(camera, size_wh=None, fps=None, pixel_format=None)
    assert found is not None and (found.pixel_format, found.size_wh) == ("NV12", (1920, 1080))


def test_cameras_are_listed_in_order_even_those_that_can_not_be_asked(tmp_path: Path) -> None:
    for number in (10, 2):
        (tmp_path / "sys" / f"video{number}").mkdir(parents=True)
        (tmp_path / "sys" / f"video{number}" / "name").write_text("USB Camera\n")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "video10").write_bytes(b"")
    found = list_cameras(tmp_path / "sys", tmp_path / "dev")
    assert [(Path(each.path).name, each.name, each.problem) for each in found] == [
        ("video2", "USB Camera", "no such file or directory"),
        ("video10", "USB Camera", "inappropriate ioctl for device"),
    ]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, webcam: Camera) -> Iterator[str]:
    null = Camera(path="/dev/null", name="Webcam", formats=webcam.formats)
    monkeypatch.setattr(uri, "list_cameras", lambda: [null])
    yield "camera:///dev/null"


@pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux")
def test_the_choice_becomes_ffmpeg_options(device: str) -> None:
    def options(query: str) -> dict[str, str]:
        source = open_source(device + query)
        assert isinstance(source, CaptureSource) and source.input.format == "v4l2"
        return dict(source.input.options)

    assert options("") == {"video_size": "1920x1080", "framerate": "30", "input_format": "mjpeg"}
    assert options("?size=1280x720") == {
        "video_size": "1280x720",
        "framerate": "10",
        "input_format": "yuyv422",
    }
    assert options("?fps=15&format=yuyv") == {
        "video_size": "640x480",
        "framerate": "15",
        "input_format": "yuyv422",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux")
def test_a_device_s_path_is_a_camera_whatever_its_name(tmp_path: Path, device: str) -> None:
    by_id = tmp_path / "usb-Webcam-video-index0"
    by_id.symlink_to("/dev/null")
    source = open_source(f"{by_id}?size=640x480")
    assert isinstance(source, CaptureSource) and source.input.format == "v4l2"
    assert source.input.options["video_size"] == "640x480"
    with pytest.raises(
        SourceError, match=r"camera /dev/v4l/by-id/gone: no such file.*; cameras here: /dev/null"
    ):
        open_source("/dev/v4l/by-id/gone")


@pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux")
async def test_a_device_that_is_no_camera_is_told(device: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="camera /dev/null: not a camera: vision-agent doctor lists"):
        await anext(open_source(device).frames())
    (tmp_path / "video0").write_bytes(b"")
    with pytest.raises(SourceError, match="not a device"):
        open_source(f"/dev/../{tmp_path}/video0".replace("/dev/..", "camera:///dev/.."))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EBUSY, "busy, another program is using it: close that one"),
        (errno.EACCES, "permission denied: add the user to the group video"),
        (errno.ENODEV, "gone: plug it in again"),
        (errno.EIO, "gone: plug it in again"),
        (errno.ENOENT, "not there: check the path, or plug it in"),
        (errno.EINVAL, "it can't do this size, fps or format: vision-agent doctor lists what it can"),
    ],
)
def test_a_camera_fault_is_one_line_with_the_way_out(number: int, said: str) -> None:
    with pytest.raises(av.FFmpegError) as caught:
        av.error.err_check(-number, "/dev/video0")
    line = str(explain(caught.value, shown="camera /dev/video0", timeout_s=5, is_device=True))
    assert line.startswith(f"camera /dev/video0: {said}") and "\n" not in line


@pytest.mark.skipif(os.geteuid() != 0 if hasattr(os, "geteuid") else True, reason="needs root to become less")
def test_permission_is_really_denied_to_another_user(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x" * 100)
    path.chmod(0)
    code = (
        "import os, asyncio, sys; from vision_agent import open_source, SourceError\n"
        f"s = open_source({str(path)!r}); os.setuid(65534)\n"
        "async def go():\n"
        "    try: await s.frames().__anext__()\n"
        "    except SourceError as error: print(error)\n"
        "asyncio.run(go())"
    )
    for folder in path.parents[:-1]:
        folder.chmod(folder.stat().st_mode | 0o011)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{path}: permission denied: let this user read it\n", done.stderr


class FakePicamera2:
    """picamera2 as in its manual and source: padded rows, one job after the other, also for a stop."""

    opened = 0
    gate = threading.Event()
    """Opening goes on while it is set."""
    loose = False
    """Its cable came off: no picture comes, and no error."""

    def __init__(self, number: int) -> None:
        if number == 1:
            raise IndexError("list index out of range")
        type(self).opened += 1
        self.flushed = threading.Event()
        self.pending = False

    def create_video_configuration(self, **wanted: object) -> dict[str, object]:
        return wanted

    def configure(self, wanted: dict[str, object]) -> None:
        assert wanted["main"] == {"size": (64, 48), "format": "YUV420"}

    def start(self) -> None:
        self.gate.wait()

    def capture_array(self, name: str, wait: bool, signal_function: Callable[[object], None]) -> U8:
        assert name == "main" and not wait
        padded = np.zeros((72, 128), np.uint8)  # rows of 64, 128 bytes apart
        padded[:48, :64] = 200
        padded[48:].reshape(2, 24, 64)[:, :, :32] = [[[90]], [[160]]]
        if self.loose:
            self.pending = True
        else:
            time.sleep(1 / 60)  # in the source's own thread
            signal_function(padded)
        return padded

    def wait(self, job: U8) -> U8:
        return job

    def stop(self) -> None:
        if self.pending:
            self.flushed.wait()

    def close(self) -> None:
        type(self).opened -= 1


class FlushablePicamera2(FakePicamera2):
    """A newer version, which can drop the waiting jobs."""

    def cancel_all_and_flush(self) -> None:
        self.flushed.set()


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[FakePicamera2]:
    module, libcamera = ModuleType("picamera2"), ModuleType("libcamera")
    gate = threading.Event()
    gate.set()
    for name, value in (("opened", 0), ("gate", gate), ("loose", False)):
        monkeypatch.setattr(FlushablePicamera2, name, value, raising=False)
    module.Picamera2 = FlushablePicamera2  # type: ignore[attr-defined]  # a stand-in
    libcamera.ColorSpace = type("ColorSpace", (), {"Smpte170m": staticmethod(lambda: "601")})  # type: ignore[attr-defined]  # as above
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    return FlushablePicamera2


async def test_the_ribbon_cable_camera_by_a_stand_in(picamera2: type[FakePicamera2]) -> None:
    source = open_source("csi://0?size=64x48&fps=30")
    assert isinstance(source, CsiSource)
    async with watched(source) as latest:
        frame = await latest.next()
        assert frame.planes_i420 is not None and not frame.full_range
        y, u, v = frame.planes()
        assert y.mean() == 200 and u.mean() == 90 and v.mean() == 160
        source.set_demand(Demand.IDLE)
        await latest.next()
        count, started_s = latest.count, time.monotonic()
        for _ in range(3):
            await latest.next()
        assert latest.count - count <= 4 * (time.monotonic() - started_s) + 2
        source.set_demand(Demand.OFF)
        await until(lambda: picamera2.opened == 0)
        source.set_demand(Demand.ACTIVE)
        await latest.next()
    assert picamera2.opened == 0
    with pytest.raises(SourceError, match="csi://1: can't be opened: check the cable"):
        await anext(open_source("csi://1?size=64x48").frames())


async def test_a_camera_that_gives_no_more_pictures_is_told_closed_and_opened_again(
    picamera2: type[FakePicamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csi, "TAKE_WAIT_S", 0.2)
    source = open_source("csi://0?size=64x48")
    frames = source.frames()
    await anext(frames)
    picamera2.loose = True
    with pytest.raises(SourceError, match=r"csi://0: no picture came for 0\.2 s: check its cable"):
        await anext(frames)
    assert picamera2.opened == 0  # the next try finds it free
    picamera2.loose = False
    await anext(source.frames())
    await source.aclose()
    assert picamera2.opened == 0


@pytest.mark.parametrize("flushable", [True, False])
async def test_closing_does_not_wait_for_a_camera_that_hangs(
    picamera2: type[FakePicamera2], monkeypatch: pytest.MonkeyPatch, flushable: bool
) -> None:
    monkeypatch.setattr(csi, "CLOSE_WAIT_S", 5.0 if flushable else 0.1)
    cameras: list[FakePicamera2] = []

    def made(number: int) -> FakePicamera2:
        cameras.append(picamera2(number))
        if not flushable:
            cameras[0].cancel_all_and_flush = lambda: None  # type: ignore[attr-defined]  # as an older one, which has none
        return cameras[0]

    monkeypatch.setattr(sys.modules["picamera2"], "Picamera2", made)
    picamera2.loose = True
    source = open_source("csi://0?size=64x48")
    async with watched(source):
        await until(lambda: bool(cameras) and cameras[0].pending)
        started_s = time.monotonic()
    assert time.monotonic() - started_s < 2  # not the 5 s a picture may take
    if not flushable:
        assert picamera2.opened == 1
        cameras[0].flushed.set()  # the driver lets go in the end
    await until(lambda: picamera2.opened == 0 and not csi_threads())


@pytest.mark.parametrize("wait_s", [5.0, 0.1])
async def test_a_camera_that_is_closed_while_it_opens_is_let_go(
    picamera2: type[FakePicamera2], monkeypatch: pytest.MonkeyPatch, wait_s: float
) -> None:
    monkeypatch.setattr(csi, "CLOSE_WAIT_S", wait_s)
    picamera2.gate.clear()
    source = open_source("csi://0?size=64x48")
    async with watched(source) as latest:
        await until(lambda: picamera2.opened == 1)
        if wait_s > 1:
            asyncio.get_running_loop().call_later(0.05, picamera2.gate.set)
    if wait_s > 1:
        assert picamera2.opened == 0  # closing has waited
    picamera2.gate.set()
    await until(lambda: picamera2.opened == 0 and not csi_threads())
    assert latest.count == 0


def csi_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("csi")]


async def test_without_picamera2_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    monkeypatch.setitem(sys.modules, "libcamera", None)
    source = open_source("csi://0")
    with pytest.raises(SourceError, match="sudo apt install python3-picamera2"):
        await anext(source.frames())
    await source.aclose()


def test_padding_is_taken_out() -> None:
    padded = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8)  # 6x4 pixels, rows 8 bytes apart
    planes = unpadded_i420(padded, (6, 4))
    assert planes[:6].tolist() == [0, 1, 2, 3, 4, 5] and planes[6:12].tolist() == [8, 9, 10, 11, 12, 13]
    assert planes[24:].tolist() == [32, 33, 34, 36, 37, 38, 40, 41, 42, 44, 45, 46]


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_cameras_are_named_on_other_systems(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    source = open_source("camera://FaceTime%20HD?size=1280x720&fps=30&format=yuyv")
    assert isinstance(source, CaptureSource)
    named = {"darwin": ("avfoundation", "FaceTime HD"), "win32": ("dshow", "video=FaceTime HD")}
    assert (source.input.format, source.input.url) == named[platform]
    with pytest.raises(ConfigError, match="camera format"):
        open_source("camera://FaceTime?format=rgb")
