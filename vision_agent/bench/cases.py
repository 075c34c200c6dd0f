"""Ways to use a camera in the room: ours by policy, and the one in LiveKit's docs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from livekit import rtc

from ..options import VisionOptions
from ..sources.track import APART_S
from ..views.vision import Vision
from .stage import HD_WH, newest_width, publications, until

Counter = Callable[[], int]
"""Returns how many frames were delivered so far."""
Case = Callable[[rtc.Room, int], AbstractAsyncContextManager[Counter]]
"""Takes the room and the number of cameras; it is entered once the room is in the wanted state."""
SMALL_PX = 320


@asynccontextmanager
async def nothing(room: rtc.Room, cameras: int) -> AsyncIterator[Counter]:
    """Be in the room, subscribe to nothing."""
    await until(lambda: len(publications(room)) == cameras, f"{cameras} cameras")
    yield lambda: 0


@asynccontextmanager
async def recipe(room: rtc.Room, cameras: int) -> AsyncIterator[Counter]:
    """Subscribe, open a stream as the docs do, and keep the newest frame."""
    latest: dict[str, rtc.VideoFrame] = {}
    reading: list[asyncio.Task[None]] = []
    streams: list[rtc.VideoStream] = []
    count = 0

    async def read(stream: rtc.VideoStream, sid: str) -> None:
        nonlocal count
        async for event in stream:
            latest[sid] = event.frame
            count += 1

    def on_subscribed(track: rtc.Track, publication: rtc.RemoteTrackPublication, _: object) -> None:
        streams.append(rtc.VideoStream(track))
        reading.append(asyncio.create_task(read(streams[-1], publication.sid), name="recipe"))

    room.on("track_subscribed", on_subscribed)
    try:
        await until(lambda: len(publications(room)) == cameras, f"{cameras} cameras")
        for publication in publications(room):
            publication.set_subscribed(True)
        full = {publication.sid: publication.width for publication in publications(room)}
        await until(
            lambda: all(sid in latest and latest[sid].width >= width for sid, width in full.items()),
            "full-size pictures of every camera",
        )
        yield lambda: count
    finally:
        room.off("track_subscribed", on_subscribed)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        for stream in streams:
            await stream.aclose()
        await unsubscribe(room)


def policy(name: str) -> Case:
    """Return our ``Vision`` at this demand policy, while nobody asks."""

    @asynccontextmanager
    async def case(room: rtc.Room, cameras: int) -> AsyncIterator[Counter]:
        async with Vision.for_room(room, options=VisionOptions(demand=name)) as vision:
            await until(lambda: len(vision.eyes) == cameras, f"{cameras} views")
            watchers = [eye.watcher for eye in vision.eyes]
            if name == "ready":
                await until(
                    lambda: all(0 < newest_width(watcher) <= SMALL_PX for watcher in watchers),
                    "the small view of every camera",
                )
            elif name == "always":
                full = {each.width for each in publications(room)}
                await until(
                    lambda: all(newest_width(watcher) >= max(full) for watcher in watchers),
                    "full-size pictures of every camera",
                )
            yield lambda: sum(watcher.statistics.received for watcher in watchers)
        await unsubscribe(room)

    return case


async def unsubscribe(room: rtc.Room) -> None:
    """Unsubscribe everything, and wait until the server knows."""
    for publication in publications(room):
        publication.set_subscribed(False)
    await until(lambda: not any(each.subscribed for each in publications(room)), "nothing subscribed")
    await asyncio.sleep(2 * APART_S)


@asynccontextmanager
async def watching(room: rtc.Room, options: VisionOptions | None) -> AsyncIterator[Vision | None]:
    """Open a ``Vision`` on the room's camera and restore the room at the end; without options, None."""
    if options is None:
        yield None
        return
    async with Vision.for_room(room, options=options) as vision:
        await until(lambda: len(vision.eyes) == 1, "a view")
        yield vision
    await unsubscribe(room)


async def full_size(vision: Vision) -> None:
    """Wait until the first view is at full size."""
    watcher = vision.eyes[0].watcher
    await until(lambda: newest_width(watcher) >= HD_WH[0], "a full-size picture")
