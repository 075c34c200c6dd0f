"""Spoken and typed turns in a livekit-agents session, with any agent.

Every setting has the session's default. Speech and model are scripted; the model's client packs the
pictures of a request as LiveKit's provider plugins do, with ``serialize_image``.
"""

from __future__ import annotations

import asyncio
from typing import Any

import wire
from livekit import rtc
from livekit.agents import Agent, AgentSession, ConversationItemAddedEvent, llm
from livekit.agents.voice.room_io import RoomOptions

clocked, scripted = wire.load("testing/clocked"), wire.load("testing/scripted")
SPEAKING_S = 1.0


class Turns:
    """A session that answers spoken and typed questions."""

    def __init__(self, model: Any = None) -> None:
        self.ears, self.model = scripted.Ears(), model or clocked.ClockedLLM()
        self.session = AgentSession[Any](
            llm=self.model, stt=self.ears.stt, vad=self.ears.vad, tts=scripted.SilentTTS()
        )
        self.session.input.audio = scripted.SilentInput()
        self.session.output.audio = scripted.SilentOutput()
        self.session.on("conversation_item_added", self._on_item)
        self._answered: asyncio.Queue[None] = asyncio.Queue()

    async def start(self, agent: Agent, room: rtc.Room, *, video_input: bool = False) -> None:
        """Start the session with this agent in the room, with the scripted audio."""
        options = RoomOptions(video_input=video_input, audio_input=False, audio_output=False)
        await self.session.start(agent, room=room, room_options=options)

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask ``count`` times, ``spoken`` or ``typed``; return the pictures in the requests, and their ages.

        One turn before that doesn't count: in its first turn a process imports modules.
        """
        ages: list[float | None] = []
        seen, packed_ms, stalls_ms = 0, [], []
        await self._turn(request["kind"])
        wire.costs.settle_heap()
        async with wire.costs.LoopMonitor() as monitor:
            for _ in range(request["count"]):
                await wire.pause()
                await monitor.longest_ms()  # ignore stalls between the turns
                answered = await self._turn(request["kind"])
                stalls_ms.append(await monitor.longest_ms())
                packed_ms.append(answered.packed_ms)
                seen += bool(answered.pictures)
                if answered.pictures:
                    grey = await asyncio.to_thread(clocked.grey, answered.pictures[-1])
                    ages.append(wire.age_of(grey, answered.sent_ms))
        return {"turns": request["count"], "seen": seen, "ages": ages, "packed_ms": packed_ms,
                "stalls_ms": stalls_ms}  # fmt: skip

    async def _turn(self, kind: str) -> Any:
        """Ask once; return the request whose answer was used."""
        if kind == "spoken":
            await self.ears.say("What do you see?", speaking_s=SPEAKING_S)
        else:
            await self.session.run(user_input="What do you see?")
        await asyncio.wait_for(self._answered.get(), 20)
        return self.model.requests[-1]

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage) and event.item.role == "assistant":
            self._answered.put_nowait(None)
