"""Fifty rounds of each fault: no task, thread or descriptor is left over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from vision_agent.image import encode_rgb
from vision_agent.sources.capture import CaptureSource
from vision_agent.sources.input import Input, Kind
from vision_agent.sources.testcard import render
from vision_agent.watcher import Watcher

from .servers import free_port, web_server
from .waiting import until

ROUNDS = 50
JPEG = encode_rgb(render(0.0, (320, 180)), max_side_px=320).data


async def three_pictures(request: web.Request) -> web.StreamResponse:
    """Send two pictures and a torn one, then hang up: a camera that is unplugged."""
    response = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
    await response.prepare(request)
    for data in (JPEG, JPEG, JPEG[: len(JPEG) // 2]):
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        await response.write(head.encode() + data + b"\r\n")
    return response


async def locked(request: web.Request) -> web.StreamResponse:
    raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="camera"'})


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with web_server(web.get("/video", three_pictures), web.get("/locked", locked)) as port:
        yield f"http://127.0.0.1:{port}"


def faulty(fault: str, address: str, folder: Path) -> Input:
    torn = folder / "torn.mp4"
    torn.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(500))
    return {
        "refused": Input(
            url=f"rtsp://127.0.0.1:{free_port()}/live", shown="x", kind=Kind.STREAM, format="rtsp"
        ),
        "not there": Input(url=f"{address}/nothing", shown="x", kind=Kind.WEB),
        "wrong password": Input(url=f"{address}/locked", shown="x", kind=Kind.WEB),
        "hangs up": Input(url=f"{address}/video", shown="x", kind=Kind.WEB),
        "no video": Input(url=str(torn), shown="x", kind=Kind.FILE),
        "no file": Input(url=str(folder / "gone.mp4"), shown="x", kind=Kind.FILE),
        "no camera": Input(url="/dev/null", shown="x", kind=Kind.CAMERA, format="v4l2"),
        "unplugged": Input(url="/dev/video99", shown="x", kind=Kind.CAMERA, format="v4l2"),
    }[fault]


@pytest.mark.parametrize(
    "fault",
    ["refused", "not there", "wrong password", "hangs up", "no video", "no file", "no camera", "unplugged"],
)
async def test_nothing_is_left_over(fault: str, address: str, tmp_path: Path) -> None:
    process, told = psutil.Process(), set()
    for number in range(ROUNDS + 2):
        if number == 2:  # what is made once is there
            await settled()
            before = (process.num_fds(), threading.active_count())
        watcher = Watcher(CaptureSource(faulty(fault, address, tmp_path), name="camera"))
        watcher.start()
        await until(lambda: watcher.statistics.failures > 0)  # noqa: B023 - awaited in the same round
        told.add(watcher.problem())
        await watcher.aclose()
    await settled()
    await until(lambda: process.num_fds() <= before[0])
    assert threading.active_count() <= before[1]
    assert len(told) <= 2 and None not in told


async def settled() -> None:
    await until(lambda: not any(each.name.startswith("reader of") for each in threading.enumerate()))
    await asyncio.sleep(0)
