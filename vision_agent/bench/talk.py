"""Turns in a real AgentSession, with and without pictures, and how long our hooks take in each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from livekit.agents import (
    Agent,
    AgentSession,
    ConversationItemAddedEvent,
    FlushSentinel,
    ModelSettings,
    llm,
)

from ..agent import VisionAgent
from ..testing.clocked import ClockedLLM, Request
from ..testing.scripted import Ears, SilentInput, SilentOutput, SilentTTS
from ..views.vision import Vision

QUESTION = "What do you see?"
SPEAKING_S = 1.0


class Hooks:
    """When the session called the agent in the current turn."""

    def __init__(self) -> None:
        self.entered_s = 0.0
        """When ``llm_node`` was last called, in seconds of ``time.perf_counter()``."""
        self.completed_ms = 0.0
        """How long ``on_user_turn_completed`` took."""


class _Seeing(VisionAgent):
    def __init__(self, hooks: Hooks, vision: Vision) -> None:
        super().__init__(vision=vision)
        self._hooks = hooks

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        begun_s = time.perf_counter()
        await super().on_user_turn_completed(turn_ctx, new_message)
        self._hooks.completed_ms = (time.perf_counter() - begun_s) * 1000

    async def _request(self, chat_ctx: llm.ChatContext) -> llm.ChatContext:
        if not self._binder.is_request(chat_ctx):  # the first step of ours, whoever overrides llm_node
            self._hooks.entered_s = time.perf_counter()
        return await super()._request(chat_ctx)


class _Blind(Agent):
    def __init__(self, hooks: Hooks) -> None:
        super().__init__(instructions="Answer briefly.")
        self._hooks = hooks

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncIterable[llm.ChatChunk | str | FlushSentinel]:
        self._hooks.entered_s = time.perf_counter()
        async for chunk in Agent.default.llm_node(self, chat_ctx, tools, model_settings):
            yield chunk


class Talk:
    """A session that gets spoken and typed questions."""

    def __init__(self, vision: Vision | None, *, answers: bool = True) -> None:
        self.model, self.hooks = ClockedLLM(answers=answers), Hooks()
        self.agent: Agent = _Seeing(self.hooks, vision) if vision is not None else _Blind(self.hooks)
        self._ears = Ears()
        self.session = AgentSession[Any](
            llm=self.model, stt=self._ears.stt, vad=self._ears.vad, tts=SilentTTS()
        )
        self.session.input.audio, self.session.output.audio = SilentInput(), SilentOutput()
        self.session.on("conversation_item_added", self._on_item)
        self._answered: asyncio.Queue[None] = asyncio.Queue()

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage) and event.item.role == "assistant":
            self._answered.put_nowait(None)

    async def speak(self) -> list[Request]:
        """Ask a spoken question and wait for the answer; return the requests of the turn."""
        before = len(self.model.requests)
        await self._ears.say(QUESTION, speaking_s=SPEAKING_S)
        await asyncio.wait_for(self._answered.get(), 20)
        return self.model.requests[before:]

    async def type(self) -> list[Request]:
        """Ask a typed question and wait for the answer; return the requests of the turn."""
        before = len(self.model.requests)
        await self.session.run(user_input=QUESTION)
        await asyncio.wait_for(self._answered.get(), 20)
        return self.model.requests[before:]

    def share_ms(self, request: Request) -> float:
        """Return the time from ``llm_node`` to the model's client plus that in ``on_user_turn_completed``."""
        completed_ms, self.hooks.completed_ms = self.hooks.completed_ms, 0.0
        return (request.asked_s - self.hooks.entered_s) * 1000 + completed_ms


@asynccontextmanager
async def talking(vision: Vision | None, *, answers: bool = True) -> AsyncIterator[Talk]:
    """Start a session; without ``vision`` its agent is LiveKit's own, without pictures."""
    talk = Talk(vision, answers=answers)
    async with talk.session:
        await talk.session.start(talk.agent)
        yield talk
