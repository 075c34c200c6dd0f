"""Servers on loopback that sources read from."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import web

PYTHON = "/usr/bin/python3"
NEEDED = "from gi import require_version as v; v('Gst', '1.0'); v('GstRtspServer', '1.0')"


def needs_gstreamer() -> None:
    if shutil.which(PYTHON) is None or subprocess.run([PYTHON, "-c", NEEDED], capture_output=True).returncode:
        pytest.skip("GStreamer's RTSP server isn't here: make rtsp-server installs it on Debian")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def rtsp_server(port: int, clip: Path, *login: str, codec: str = "h264") -> Iterator[None]:
    script = Path(__file__).with_name("rtsp_server.py")
    command = [PYTHON, str(script), str(port), str(clip), codec, *login]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Accepts connections and sends nothing, like a camera whose cable was pulled."""
    held: list[asyncio.StreamWriter] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        while await reader.read(65536):  # until the client has left
            pass
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in held:
            writer.close()
        await server.wait_closed()


@asynccontextmanager
async def web_server(*routes: web.AbstractRouteDef, port: int = 0) -> AsyncIterator[int]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
        await asyncio.sleep(0.05)  # the handlers' tasks end
