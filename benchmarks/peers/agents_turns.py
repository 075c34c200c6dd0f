"""Turns in a livekit-agents session, whoever the agent is: asked aloud and in writing.

Every setting is the session's default. Ears, mouth and model are scripted; the model's client packs
the pictures of a request as livekit's plugins for providers do, with ``serialize_image``.
"""

from __future__ import annotations

import asyncio
from typing import Any

import wire
from livekit.agents import Agent, AgentSession, ConversationItemAddedEvent, llm

clocked, scripted = wire.load("clocked"), wire.load("scripted")
SPEAKING_S = 1.0


class Turns:
    """A session that is asked."""

    def __init__(self, model: Any = None) -> None:
        self.ears, self.model = scripted.Ears(), model or clocked.ClockedLLM()
        self.session = AgentSession[Any](
            llm=self.model, stt=self.ears.stt, vad=self.ears.vad, tts=scripted.SilentTTS()
        )
        self.session.input.audio = scripted.SilentInput()
        self.session.output.audio = scripted.SilentOutput()
        self.session.on("conversation_item_added", self._on_item)
        self._answered: asyncio.Queue[None] = asyncio.Queue()

    async def start(self, agent: Agent, **options: Any) -> None:
        """Start the session with this agent."""
        await self.session.start(agent, **options)

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask ``count`` times, ``spoken`` or ``typed``: the pictures in the requests, and their ages."""
        ages: list[float | None] = []
        seen, packed_ms = 0, []
        async with wire.costs.LoopMonitor() as monitor:
            for _ in range(request["count"]):
                before = len(self.model.requests)
                if request["kind"] == "spoken":
                    await self.ears.say("What do you see?", speaking_s=SPEAKING_S)
                else:
                    await self.session.run(user_input="What do you see?")
                await asyncio.wait_for(self._answered.get(), 20)
                answered = self.model.requests[before:][-1]  # the one whose answer was used
                packed_ms.append(answered.packed_ms)
                seen += bool(answered.pictures)
                if answered.pictures:
                    grey = await asyncio.to_thread(clocked.grey, answered.pictures[-1])
                    ages.append(wire.age_of(grey, answered.sent_ms))
                await wire.pause()
        return {"turns": request["count"], "seen": seen, "ages": ages, "packed_ms": packed_ms,
                "stall_ms": max(monitor.late_ms)}  # fmt: skip

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage) and event.item.role == "assistant":
            self._answered.put_nowait(None)
