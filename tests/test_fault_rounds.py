"""Fifty rounds of each fault: no task, thread or descriptor is left over."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import av
import psutil
import pytest
from aiohttp import web

from vision_agent.imaging.jpeg import encode_rgb
from vision_agent.sources.capture import CaptureSource
from vision_agent.sources.input import Input, Kind
from vision_agent.sources.testcard import render
from vision_agent.views.watcher import Watcher

from .clips import write_clip
from .servers import free_port, silent_server, web_server
from .waiting import until

ROUNDS = 50
JPEG = encode_rgb(render(0.0, (320, 180)), max_side_px=320).data
SMALL_JPEG = encode_rgb(render(0.0, (160, 90)), max_side_px=320).data


async def three_pictures(request: web.Request) -> web.StreamResponse:
    """Send two pictures and a part of one, then close the connection, like an unplugged camera."""
    response = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
    await response.prepare(request)
    for data in (JPEG, JPEG, JPEG[: len(JPEG) // 2]):
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        await response.write(head.encode() + data + b"\r\n")
    return response


async def other_sizes(request: web.Request) -> web.StreamResponse:
    """Send pictures whose size changes from one to the next, then close the connection."""
    response = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
    await response.prepare(request)
    for data in (JPEG, SMALL_JPEG, JPEG, SMALL_JPEG):
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        await response.write(head.encode() + data + b"\r\n")
    return response


async def falls_silent(request: web.Request) -> web.StreamResponse:
    """Send a picture and nothing after it, with the connection left open."""
    response = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
    await response.prepare(request)
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(JPEG)}\r\n\r\n"
    await response.write(head.encode() + JPEG + b"\r\n")
    while True:
        if request.transport is None or request.transport.is_closing():
            return response
        await asyncio.sleep(0.02)


async def locked(request: web.Request) -> web.StreamResponse:
    raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="camera"'})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """H.264 whose clock first goes on, then is set back, and whose size changes."""
    folder = tmp_path_factory.mktemp("fault clips")
    large = write_clip(folder / "large.ts", seconds=0.6)
    small = write_clip(folder / "small.ts", seconds=0.6, size_wh=(160, 90))
    return large.read_bytes() * 2 + small.read_bytes() + large.read_bytes()


@pytest.fixture
async def address(clip: bytes) -> AsyncIterator[str]:
    async def set_back(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "video/mp2t"})  # no length: it is live
        await response.prepare(request)
        await response.write(clip)
        return response

    async with web_server(
        web.get("/video", three_pictures),
        web.get("/locked", locked),
        web.get("/sizes", other_sizes),
        web.get("/silent", falls_silent),
        web.get("/clock", set_back),
    ) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    async with silent_server() as port:
        yield port


def faulty(fault: str, address: str, folder: Path, silent_port: int) -> Input:
    torn = folder / "torn.mp4"
    torn.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(500))
    device = "/dev/video0" if fault in REFUSALS else "/dev/null"
    rtsp, camera = partial(Input, shown="x", kind=Kind.STREAM, format="rtsp"), "v4l2"
    return {
        "refused": rtsp(url=f"rtsp://127.0.0.1:{free_port()}/live"),
        "half open": rtsp(url=f"rtsp://127.0.0.1:{silent_port}/live", open_timeout_s=0.1),
        "not there": Input(url=f"{address}/nothing", shown="x", kind=Kind.WEB),
        "wrong password": Input(url=f"{address}/locked", shown="x", kind=Kind.WEB),
        "hangs up": Input(url=f"{address}/video", shown="x", kind=Kind.WEB),
        "falls silent": Input(url=f"{address}/silent", shown="x", kind=Kind.WEB, read_timeout_s=0.1),
        "other sizes": Input(url=f"{address}/sizes", shown="x", kind=Kind.WEB),
        "clock set back": Input(url=f"{address}/clock", shown="x", kind=Kind.WEB),
        "no video": Input(url=str(torn), shown="x", kind=Kind.FILE),
        "no file": Input(url=str(folder / "gone.mp4"), shown="x", kind=Kind.FILE),
        "no camera": Input(url=device, shown="x", kind=Kind.CAMERA, format=camera),
        "unplugged": Input(url="/dev/video99", shown="x", kind=Kind.CAMERA, format=camera),
    }.get(fault) or Input(url=device, shown="x", kind=Kind.CAMERA, format=camera)


REFUSALS = {
    "busy": (errno.EBUSY, "busy"),
    "permission denied": (errno.EACCES, "permission denied"),
    "unplugged while it opens": (errno.ENODEV, "gone"),
    "wrong format": (errno.EINVAL, "it can't do this size"),
}
"""What a driver says when it is opened: FFmpeg's own errors, raised where FFmpeg would."""
FAULTS = {
    "refused": "refused",
    "half open": "no answer within 0.1 s",
    "not there": "404",
    "wrong password": "401",
    "hangs up": "ended",
    "falls silent": "no data came for 0.1 s",
    "other sizes": "ended",
    "clock set back": "ended",
    "no video": "not a video",
    "no file": "not there",
    "no camera": "not a camera",
    "unplugged": "not there",
}


@pytest.mark.parametrize("fault", [*FAULTS, *REFUSALS])
async def test_nothing_is_left_over(
    fault: str, address: str, tmp_path: Path, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault in REFUSALS:
        monkeypatch.setattr(av, "open", lambda *_, **__: av.error.err_check(-REFUSALS[fault][0], "x"))
    process, told = psutil.Process(), set[str | None]()
    for number in range(ROUNDS + 2):
        if number == 2:  # what is made once is there
            await settled()
            before = (process.num_fds(), threading.active_count())
        watcher = Watcher(CaptureSource(faulty(fault, address, tmp_path, silent_port), name="camera"))
        watcher.start()
        await until(lambda: watcher.statistics.failures > 0)  # noqa: B023 - awaited in the same round
        told.add(watcher.problem())
        await watcher.aclose()
    await settled()
    await until(lambda: process.num_fds() <= before[0])
    assert threading.active_count() <= before[1]
    said = FAULTS[fault] if fault in FAULTS else REFUSALS[fault][1]
    assert len(told) <= 2 and all(said in (each or "") for each in told), told


async def settled() -> None:
    await until(lambda: not any(each.name.startswith("reader of") for each in threading.enumerate()))
    await asyncio.sleep(0)
