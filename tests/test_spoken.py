"""Spoken turns in a real AgentSession: VAD, STT, TTS, audio input and output, every setting the default."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit.agents import AgentSession, ConversationItemAddedEvent, llm

from vision_agent import Sighting, Vision, VisionAgent, VisionOptions
from vision_agent.testing.scripted import Ears, SilentInput, SilentOutput, SilentTTS
from vision_agent.testing.server import LocalServer

from .cards import CardSource, ListeningLLM, images_in
from .rooms import codes, joined, publishing
from .waiting import until

TURNS = 20
QUESTION = "What does the QR code say?"


class Talk:
    """A session that is spoken to, and speaks."""

    def __init__(self) -> None:
        self.ears, self.voice, self.speaker, self.model = Ears(), SilentTTS(), SilentOutput(), ListeningLLM()
        self.session = AgentSession[Any](llm=self.model, stt=self.ears.stt, vad=self.ears.vad, tts=self.voice)
        self.session.input.audio, self.session.output.audio = SilentInput(), self.speaker
        self.session.on("conversation_item_added", self._on_item)
        self._answered = asyncio.Queue[str]()

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage) and event.item.role == "assistant":
            self._answered.put_nowait(event.item.text_content or "")

    async def type(self) -> str:
        await self.session.run(user_input=QUESTION)
        return await asyncio.wait_for(self._answered.get(), 10)

    async def ask(self) -> str:
        await self.ears.say(QUESTION)
        return await asyncio.wait_for(self._answered.get(), 10)


@asynccontextmanager
async def talking(
    vision: Vision, agent: Callable[[Vision], VisionAgent] | None = None
) -> AsyncIterator[Talk]:
    talk = Talk()
    async with vision, talk.session as session:
        await session.start(agent(vision) if agent is not None else VisionAgent(vision=vision))
        yield talk


@pytest.mark.timeout(180)
async def test_twenty_spoken_turns_use_the_preemptive_reply_and_carry_the_picture_of_their_moment(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="livekit.agents")
    async with joined(server, "agent") as room, joined(server, "alice") as alice, publishing(alice):
        vision = Vision.for_room(room)
        async with talking(vision) as talk:
            await until(lambda: bool(vision.eyes) and vision.eyes[0].watcher.latest is not None)
            for _ in range(TURNS):
                asked_s = time.time()
                answer = await talk.ask()
                assert len(codes(answer)) == 1, answer
                (code,) = codes(answer)
                assert asked_s - 0.5 <= code + 1 and code <= time.time()
                assert images_in(talk.model.requests[-1])[-1] == images_in(talk.session.history)[-1]
    assert all(images_in(request) for request in talk.model.requests)
    assert len(talk.model.requests) == TURNS  # none was thrown away and asked again
    used = [record for record in caplog.records if record.getMessage() == "using preemptive generation"]
    assert len(used) == TURNS
    assert sum("VA-" in sentence for sentence in talk.voice.said) == TURNS
    assert talk.speaker.played_s > 0


async def test_a_spoken_question_about_a_muted_camera_is_told_so() -> None:
    source = CardSource()
    async with talking(Vision(source=source, options=VisionOptions(max_wait_s=0.2))) as talk:
        assert "VA-1700000000" in await talk.ask()
        source.problem = "the camera is muted"
        answer = await talk.ask()
        assert "muted" in answer and "VA-" not in answer and "muted" in talk.voice.said[-1]
        asked = [m for m in talk.model.requests[-1].messages() if m.role == "user"][-1]
        assert not any(isinstance(part, llm.ImageContent) for part in asked.content)
        source.problem = None
        assert "VA-1700000000" in await talk.ask()


class LookingUp(VisionAgent):
    """Adds retrieved notes to each spoken turn, as many agents do; this causes a new request."""

    def __init__(self, vision: Vision, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(vision=vision)
        self._meanwhile = meanwhile

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        await super().on_user_turn_completed(turn_ctx, new_message)
        await self._meanwhile()
        turn_ctx.add_message(role="assistant", content="Found out: the desk is brown.")


class Forgetful(LookingUp):
    """Does the same, without a call to ``super()``."""

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        turn_ctx.add_message(role="assistant", content="Found out: the desk is brown.")


async def test_a_note_added_to_the_request_does_not_make_the_answer_blind() -> None:
    async def nothing() -> None: ...

    async with talking(Vision(source=CardSource()), lambda vision: Forgetful(vision, nothing)) as talk:
        assert "VA-1700000000" in await talk.ask()
        assert len(images_in(talk.session.history)) == 1


async def test_a_preemptive_reply_that_is_thrown_away_takes_its_old_picture_with_it() -> None:
    source = CardSource()

    async def half_a_second_in_which_the_scene_changes() -> None:
        begun_s = time.monotonic()
        source.moment_s += 60
        await until(lambda: time.monotonic() > begun_s + 0.5)

    async with talking(
        Vision(source=source), lambda vision: LookingUp(vision, half_a_second_in_which_the_scene_changes)
    ) as talk:
        for turn in range(1, 3):
            assert f"VA-{1_700_000_000 + 60 * turn}" in await talk.ask()
            assert len(talk.model.requests) == 2 * turn
            assert images_in(talk.model.requests[-1])[-1] == images_in(talk.session.history)[-1]
            assert len(images_in(talk.session.history)) == turn


class SlowVision(Vision):
    """Takes its time to look, as at the first question in a room."""

    async def look(self, *args: Any, **wanted: Any) -> list[Sighting]:
        await asyncio.sleep(0.7)
        return await super().look(*args, **wanted)


async def test_a_turn_that_ends_before_its_picture_came_has_one_picture_the_same_in_request_and_history() -> (
    None
):
    async with talking(SlowVision(source=CardSource())) as talk:
        for turn in range(1, 3):
            assert (await talk.ask()).count("VA-") == 1
            assert len(talk.model.requests) == turn
            assert images_in(talk.model.requests[-1]) == images_in(talk.session.history)
            assert len(images_in(talk.session.history)) == turn


async def test_the_words_of_a_typed_question_spoken_later_get_a_picture_of_their_own() -> None:
    async with talking(Vision(source=CardSource())) as talk:
        talk.session.options.preemptive_generation["enabled"] = False
        await talk.type()
        await talk.ask()
        first, second = images_of_turns(talk.session.history)
        assert first != second


def images_of_turns(history: llm.ChatContext) -> list[str]:
    """Return the id of each turn's picture."""
    return [
        part.id
        for message in history.messages()
        for part in message.content
        if isinstance(part, llm.ImageContent)
    ]
