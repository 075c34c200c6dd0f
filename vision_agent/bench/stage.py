"""The set-up for the parts of the benchmark: a real server, cameras in another process, a joined room."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from livekit import rtc

from ..errors import VisionAgentError
from ..testing.server import LocalServer
from ..views.watcher import Watcher
from .child import started

HD_WH, FPS = (1280, 720), 30


class StageError(VisionAgentError):
    """Something the benchmark waits for did not happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A server with cameras in a room."""

    server: LocalServer
    """The server."""
    room: str
    """The room's name."""

    def ticket(self, identity: str) -> dict[str, Any]:
        """Return the address and the token that a process needs to join."""
        return {"url": self.server.url, "token": self.server.token(identity, self.room)}

    @asynccontextmanager
    async def joined(self, identity: str = "subscriber") -> AsyncIterator[rtc.Room]:
        """Join the cameras' room with nothing subscribed, as the worker does."""
        room, ticket = rtc.Room(), self.ticket(identity)
        await room.connect(ticket["url"], ticket["token"], rtc.RoomOptions(auto_subscribe=False))
        try:
            yield room
        finally:
            await room.disconnect()


class Stages:
    """One server for a whole run, and the cameras of a part; the next part reuses the same ones."""

    def __init__(self) -> None:
        self._server: LocalServer | None = None
        self._cameras = AsyncExitStack()
        self._set: tuple[object, ...] | None = None
        self._stage: Stage | None = None

    async def __aenter__(self) -> Stages:
        """Start; server and cameras start when they are needed."""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """End cameras and server."""
        await self._cameras.aclose()
        if self._server is not None:
            await self._server.aclose()

    async def set(self, *, cameras: int = 1, size_wh: tuple[int, int] = HD_WH, fps: float = FPS) -> Stage:
        """Put ``cameras`` cameras into a room, published from another process.

        Raises:
            ConfigError: No livekit-server is installed.
            ServerError: The server did not start.
            ChildError: The cameras could not be published.
        """
        wanted = (cameras, size_wh, fps)
        if self._stage is not None and self._set == wanted:
            return self._stage
        await self._cameras.aclose()
        self._set = self._stage = None
        if self._server is None:
            server = LocalServer()
            await server.__aenter__()
            self._server = server
        room = f"{cameras}-cameras-{size_wh[1]}p{fps:g}"
        command = [sys.executable, "-m", "vision_agent.bench.publisher"]
        publisher = await self._cameras.enter_async_context(started("publisher", command))
        tokens = [self._server.token(f"camera-{number}", room) for number in range(cameras)]
        await publisher.ask({"url": self._server.url, "tokens": tokens, "size_wh": size_wh, "fps": fps})
        self._set, self._stage = wanted, Stage(server=self._server, room=room)
        return self._stage


async def until(true: Callable[[], bool], what: str, *, within_s: float = 20.0) -> None:
    """Wait until something is true.

    Raises:
        StageError: It did not happen in time.
    """
    deadline_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline_s:
            raise StageError(f"{what} did not happen within {within_s:g} s")
        await asyncio.sleep(0.01)


def newest_width(watcher: Watcher) -> int:
    """Return the width of a watcher's newest frame in pixels, 0 without a frame."""
    return watcher.latest.width if watcher.latest is not None else 0


def publications(room: rtc.Room) -> list[rtc.RemoteTrackPublication]:
    """Return the video publications of a room's other participants."""
    return [
        publication
        for participant in room.remote_participants.values()
        for publication in participant.track_publications.values()
        if publication.kind == rtc.TrackKind.KIND_VIDEO
    ]
