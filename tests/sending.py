"""A person in a room who sends pictures."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from livekit import rtc

from .files import file_of


class Sender:
    """Sends pictures, and reads the answers."""

    def __init__(self, room: rtc.Room, *, listens: bool = True) -> None:
        self.room = room
        self.results = asyncio.Queue[dict[str, Any]]()
        self._reading: set[asyncio.Task[None]] = set()
        if listens:
            room.register_text_stream_handler("images.result", self._on_result)

    def _on_result(self, reader: rtc.TextStreamReader, identity: str) -> None:
        async def read() -> None:
            self.results.put_nowait(json.loads(await reader.read_all()))

        task = asyncio.create_task(read())
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def send(self, data: bytes, name: str, mime_type: str, caption: str = "") -> dict[str, Any]:
        await self.post(data, name, mime_type=mime_type, attributes={"caption": caption} if caption else {})
        return await self.answer()

    async def post(self, data: bytes, name: str, **options: Any) -> None:
        await self.room.local_participant.send_bytes(data, name=name, topic="images", **options)

    async def burst(self, count: int) -> list[dict[str, Any]]:
        """Send this many at once, named by their number, and wait for all the answers."""
        await asyncio.gather(*(self.post(file_of("PNG"), str(n)) for n in range(count)))
        return [await self.answer() for _ in range(count)]

    async def fill(self, data: bytes, count: int) -> None:
        """Post as many as may be in flight, and one more: when it is refused, the others have arrived."""
        for n in range(count):
            await self.post(data, str(n))
        answer = await self.send(b"one too many", "last", "")
        assert answer["name"] == "last" and "too many uploads at once" in answer["reason"], answer

    async def begin(self, name: str) -> rtc.ByteStreamWriter:
        return await self.room.local_participant.stream_bytes(name, topic="images")

    async def answer(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.results.get(), 20)
