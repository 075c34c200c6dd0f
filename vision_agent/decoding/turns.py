"""``Turns``: one at a time, and everybody in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Lets one in at a time: people in turn, and what one person has in the order it came."""

    def __init__(self) -> None:
        # Whose turn comes first is at the front. Who has had a turn goes to the end when it is over.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._taken = False

    @asynccontextmanager
    async def turn(self, identity: str) -> AsyncIterator[None]:
        """Wait for this person's turn, and have it."""
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
            if not called.cancelled():  # the turn had come by then
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
            if not called.done():  # those that were cancelled don't count
                called.set_result(None)
                return
        self._taken = False
