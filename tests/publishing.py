"""A publisher in a test, and a viewer who reads what arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from livekit import rtc

from vision_agent import Frame, open_source
from vision_agent.publish.access import Access
from vision_agent.publish.publisher import Publisher
from vision_agent.testing.server import LocalServer

from .clips import second_in

ROOM = "test"
LIVE = {"bf": "0", "tune": "zerolatency"}


def access_to(server: LocalServer, identity: str = "camera") -> Access:
    return Access(url=server.url, keys=server.keys, room=ROOM, identity=identity)


@asynccontextmanager
async def publisher_of(
    uri: str | Path, server: LocalServer, *, encode: bool = False, identity: str = "camera"
) -> AsyncIterator[Publisher]:
    publisher = Publisher(open_source(str(uri)), access_to(server, identity), encode=encode)
    running = asyncio.create_task(publisher.run(), name="test: publisher")
    try:
        yield publisher
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Viewer:
    """A viewer in the room who watches every track, and records when each picture came."""

    def __init__(self, room: rtc.Room, *, reads: bool = True) -> None:
        self.joined_s = time.monotonic()
        self.first_s: float | None = None
        self.last_s = 0.0
        self.count = 0
        self.seconds: list[tuple[float, int]] = []
        """When a code was first seen, and what second of the clip it is."""
        self._reads = reads
        self._tasks: set[asyncio.Task[None]] = set()
        room.on("track_subscribed", lambda track, *_: self._watch(track))

    def _watch(self, track: rtc.Track) -> None:
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            self._tasks.add(asyncio.create_task(self._read(track), name="test: viewer"))

    async def _read(self, track: rtc.Track) -> None:
        stream = rtc.VideoStream(track, capacity=1)
        try:
            async for event in stream:
                self.last_s = time.monotonic()
                self.first_s = self.first_s or self.last_s
                self.count += 1
                if not self._reads:
                    continue
                frame = Frame.from_video_frame(event.frame, captured_s=0.0)
                second = await asyncio.to_thread(second_in, frame)
                if second is not None and (not self.seconds or self.seconds[-1][1] != second):
                    self.seconds.append((self.last_s, second))
        finally:
            await stream.aclose()

    @property
    def waited_s(self) -> float:
        """Time from joining to the first picture, in seconds."""
        assert self.first_s is not None
        return self.first_s - self.joined_s

    async def more(self, count: int = 3, *, within_s: float = 15) -> None:
        """Wait for this many more pictures."""
        wanted, deadline_s = self.count + count, time.monotonic() + within_s
        while self.count < wanted:
            assert time.monotonic() < deadline_s, f"{self.count} pictures, and no more came in time"
            await asyncio.sleep(0.01)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def viewing(
    server: LocalServer, identity: str = "viewer", *, reads: bool = True
) -> AsyncIterator[Viewer]:
    room = rtc.Room()
    viewer = Viewer(room, reads=reads)
    await room.connect(server.url, server.token(identity, ROOM))
    try:
        yield viewer
    finally:
        await viewer.aclose()
        await room.disconnect()
