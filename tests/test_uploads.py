from __future__ import annotations

import asyncio
import json
from typing import Any

import psutil
from livekit import rtc
from livekit.agents import AgentSession

from vision_agent import Vision, VisionAgent
from vision_agent.demo.server import LocalServer

from .cards import ListeningLLM, images_in
from .files import FORMATS, bomb, file_of
from .rooms import ask, codes, joined


class Sender:
    """Sends pictures, and reads the answers."""

    def __init__(self, room: rtc.Room) -> None:
        self.room = room
        self.results = asyncio.Queue[dict[str, Any]]()
        self._reading: set[asyncio.Task[None]] = set()
        room.register_text_stream_handler("images.result", self._on_result)

    def _on_result(self, reader: rtc.TextStreamReader, identity: str) -> None:
        async def read() -> None:
            self.results.put_nowait(json.loads(await reader.read_all()))

        task = asyncio.create_task(read())
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def send(self, data: bytes, name: str, mime_type: str, caption: str = "") -> dict[str, Any]:
        await self.room.local_participant.send_bytes(
            data, name=name, mime_type=mime_type, topic="images", attributes={"caption": caption}
        )
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.results.get(), 20)


async def test_uploads_reach_the_model_and_bad_ones_are_answered(server: LocalServer) -> None:
    model = ListeningLLM()
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        sender = Sender(alice)
        async with Vision.for_room(room) as vision, AgentSession[Any](llm=model) as session:
            await session.start(VisionAgent(vision=vision))
            for format in FORMATS:
                result = await sender.send(file_of(format), f"card.{format}", "text/plain", f"a {format}")
                assert result["accepted"], result
                assert codes(await ask(session)) == [1_700_000_000]
                assert images_in(model.requests[-1])[-1].startswith("data:image/jpeg;base64,")
                lines = [p for m in model.requests[-1].messages() for p in m.content if isinstance(p, str)]
                assert f"[a picture the user sent: a {format}]" in lines
            for data, said in (
                (b"text", "not a picture"),
                (file_of("JPEG")[:3000], "broken"),
                (bomb(), "pixels"),
            ):
                result = await sender.send(data, "fine.png", "image/png")
                assert not result["accepted"] and said in result["reason"]
            result = await sender.send(bytes(50_000_000), "large.png", "image/png")
            assert not result["accepted"] and "10000000" in result["reason"]
            burst = [
                alice.local_participant.send_bytes(
                    file_of("PNG"), name=str(n), mime_type="image/png", topic="images"
                )
                for n in range(20)
            ]
            await asyncio.gather(*burst)
            answers = [await sender.answer() for _ in range(20)]
            assert {answer["name"] for answer in answers} == {str(n) for n in range(20)}
            writer = await alice.local_participant.stream_bytes(
                "half.png", topic="images", total_size=100_000
            )
            await writer.write(bytes(20_000))
            await alice.disconnect()
            assert set(codes(await ask(session))) == {1_700_000_000}


async def test_a_file_without_end_is_refused_and_takes_no_memory(server: LocalServer) -> None:
    process, chunk = psutil.Process(), bytes(15_000)
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        sender = Sender(alice)
        async with Vision.for_room(room) as vision, AgentSession[Any](llm=ListeningLLM()) as session:
            await session.start(VisionAgent(vision=vision))
            assert (await sender.send(file_of("PNG"), "card.png", "image/png"))["accepted"]
            before = process.memory_info().rss
            writer = await alice.local_participant.stream_bytes("endless.png", topic="images")
            for _ in range(2_500):  # 37 MB, and no word of it before
                await writer.write(chunk)
            await writer.aclose()
            result = await sender.answer()
            assert not result["accepted"] and "more than 10000000 bytes received" in result["reason"]
            assert process.memory_info().rss - before < 25_000_000
            assert (await sender.send(file_of("PNG"), "card.png", "image/png"))["accepted"]
