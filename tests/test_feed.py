"""A publisher's source that fails, and its state when it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from vision_agent import Frame, SourceError
from vision_agent.publish.counts import PublishCounts
from vision_agent.publish.feed import Feed
from vision_agent.publish.link import NotPassable

from .waiting import until


class Scripted:
    """Fails with the given errors, one each time it is opened, and then gives pictures."""

    name = "camera"
    problem: str | None = None
    full_size_wh: tuple[int, int] | None = None

    def __init__(self, *faults: Exception) -> None:
        self._faults = list(faults)

    async def frames(self) -> AsyncIterator[Frame]:
        if self._faults:
            raise self._faults.pop(0)
        while True:
            yield Frame.from_rgb(np.zeros((36, 64, 3), np.uint8), captured_s=0.0)
            await asyncio.sleep(0.01)

    async def aclose(self) -> None:
        pass


async def test_what_can_not_pass_and_then_fails_to_open_is_tried_again() -> None:
    feed = Feed(
        Scripted(NotPassable("it has B-frames"), SourceError("camera: no answer")), counts=PublishCounts()
    )
    reading = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.failure == "camera: no answer" or reading.done())
        await until(lambda: feed.route == "encoded" or reading.done())
        assert not reading.done() and feed.failure is None and feed.why_encoded == "it has B-frames"
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_what_could_never_be_opened_ends_it() -> None:
    feed = Feed(Scripted(SourceError("camera: not there")), counts=PublishCounts())
    with pytest.raises(SourceError, match="not there"):
        await feed.run()
