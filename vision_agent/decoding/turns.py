"""``Turns``: one file at a time, and the senders take turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Lets one caller in at a time. The senders take turns; the files of one sender keep their order."""

    def __init__(self) -> None:
        # The sender whose turn comes next is at the front. After a turn the sender goes to the end.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._taken = False

    @asynccontextmanager
    async def turn(self, identity: str) -> AsyncIterator[None]:
        """Wait for this sender's turn, and hold it for the body of the ``async with``."""
        await self._take(identity)
        try:
            yield
        finally:
            self._pass_on(identity)

    async def _take(self, identity: str) -> None:
        if not self._taken:
            self._taken = True
            return
        called = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(identity, deque()).append(called)
        try:
            await called
        except asyncio.CancelledError:
            if not called.cancelled():  # the turn had already come
                self._pass_on(identity)
            raise

    def _pass_on(self, identity: str) -> None:
        if identity in self._waiting:
            self._waiting[identity] = self._waiting.pop(identity)
        while self._waiting:
            first = next(iter(self._waiting))
            called = self._waiting[first].popleft()
            if not self._waiting[first]:
                del self._waiting[first]
            if not called.done():  # skip those that were cancelled
                called.set_result(None)
                return
        self._taken = False
