"""A network camera with motion JPEG: multipart over HTTP, at its frame rate, for every client.

    python benchmarks/mjpeg_camera.py 1920x1080 30

It shows the benchmark's scene, which has the noise of a sensor: 0.2 MB per picture at 1080p; a drawn card
would need a quarter of that. It encodes the pictures before it serves them. It prints its port when it is
ready, and serves until killed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from vision_agent import Frame, encode_jpeg
from vision_agent.bench.scene import pictures

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
PART = "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
PICTURES, QUALITY = 30, 80


class Camera:
    """Shows the same pictures to every client, starting with the first one."""

    def __init__(self, size_wh: tuple[int, int], fps: float) -> None:
        self._fps, self._parts = fps, []
        for planes in pictures(size_wh, count=PICTURES):
            frame = Frame(width=size_wh[0], height=size_wh[1], captured_s=0.0, planes_i420=planes)
            data = encode_jpeg(frame, max_side_px=max(size_wh), quality=QUALITY).data
            self._parts.append(PART.format(len(data)).encode() + data + b"\r\n")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it disconnects."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD)
            started_s = time.monotonic()
            for number in range(1_000_000_000):
                await asyncio.sleep(max(0.0, started_s + number / self._fps - time.monotonic()))
                writer.write(self._parts[number % len(self._parts)])
                await writer.drain()
        writer.close()


async def main() -> None:
    """Serve until killed."""
    width, height = (int(side) for side in sys.argv[1].split("x"))
    server = await asyncio.start_server(Camera((width, height), float(sys.argv[2])).serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
