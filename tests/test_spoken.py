"""Spoken turns in a real AgentSession with preemptive generation left on."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from livekit.agents import AgentSession, ConversationItemAddedEvent, llm

from vision_agent import Vision, VisionAgent

from .scripted import Ears, SilentInput
from .test_agent import CardSource, ListeningLLM, images_in

TURNS = 20


@pytest.mark.timeout(180)
async def test_twenty_spoken_turns_use_the_preemptive_reply_and_carry_the_picture(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="livekit.agents")
    ears, model, answered = Ears(), ListeningLLM(), asyncio.Queue[str]()

    def on_item(event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage) and event.item.role == "assistant":
            answered.put_nowait(event.item.text_content or "")

    async with Vision(source=CardSource()) as vision:
        async with AgentSession[Any](llm=model, stt=ears.stt, vad=ears.vad) as session:
            session.input.audio = SilentInput()
            session.on("conversation_item_added", on_item)
            await session.start(VisionAgent(vision=vision))
            for _ in range(TURNS):
                await ears.say("What does the QR code say?")
                assert "VA-1700000000" in await asyncio.wait_for(answered.get(), 10)
                newest = model.requests[-1]
                assert images_in(newest)[-1] == images_in(session.history)[-1]
    assert all(images_in(request) for request in model.requests)
    assert len(model.requests) == TURNS  # none was thrown away and asked again
    used = [record for record in caplog.records if record.getMessage() == "using preemptive generation"]
    assert len(used) == TURNS
