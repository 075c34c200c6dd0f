"""Where the parts of the benchmark play: a real server, cameras in another process, a room joined."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from livekit import rtc

from ..demo.server import LocalServer
from ..errors import VisionAgentError
from ..watcher import Watcher
from .child import started

HD_WH, FPS = (1280, 720), 30
ROOM = "bench"


class StageError(VisionAgentError):
    """Something the benchmark waits for did not come true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A server with cameras in its room."""

    server: LocalServer
    """The server."""

    @asynccontextmanager
    async def joined(self, identity: str = "subscriber") -> AsyncIterator[rtc.Room]:
        """Join the cameras' room with nothing subscribed, as the worker does."""
        room = rtc.Room()
        token = self.server.token(identity, ROOM)
        await room.connect(self.server.url, token, rtc.RoomOptions(auto_subscribe=False))
        try:
            yield room
        finally:
            await room.disconnect()


@asynccontextmanager
async def stage(
    *, cameras: int = 1, size_wh: tuple[int, int] = HD_WH, fps: float = FPS
) -> AsyncIterator[Stage]:
    """Start a server and publish so many cameras from another process.

    Raises:
        ConfigError: No livekit-server is installed.
        ServerError: It did not come up.
        ChildError: The cameras could not be published.
    """
    async with LocalServer() as server:
        async with started("publisher", [sys.executable, "-m", "vision_agent.bench.publisher"]) as publisher:
            tokens = [server.token(f"camera-{number}", ROOM) for number in range(cameras)]
            await publisher.ask({"url": server.url, "tokens": tokens, "size_wh": size_wh, "fps": fps})
            yield Stage(server=server)


async def until(true: Callable[[], bool], what: str, *, within_s: float = 20.0) -> None:
    """Wait until something is true.

    Raises:
        StageError: It did not come true in time.
    """
    deadline_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline_s:
            raise StageError(f"{what} did not come about within {within_s:g} s")
        await asyncio.sleep(0.01)


def newest_width(watcher: Watcher) -> int:
    """Return the width of a watcher's newest frame in pixels, 0 where there is none."""
    return watcher.latest.width if watcher.latest is not None else 0


def publications(room: rtc.Room) -> list[rtc.RemoteTrackPublication]:
    """Return the video publications of a room's other participants."""
    return [
        publication
        for participant in room.remote_participants.values()
        for publication in participant.track_publications.values()
        if publication.kind == rtc.TrackKind.KIND_VIDEO
    ]
