"""A subclass that overrides a hook and forgets ``super()``: the agent still sees."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession, FlushSentinel, ModelSettings, StopResponse, llm

from vision_agent import Vision, VisionAgent
from vision_agent.testing.server import LocalServer

from .cards import CardSource, ListeningLLM, images_in
from .rooms import ask, joined
from .seeing import users
from .test_spoken import talking

CODE = "VA-1700000000"


@asynccontextmanager
async def session_of(agent: VisionAgent) -> AsyncIterator[tuple[AgentSession[Any], ListeningLLM]]:
    model = ListeningLLM()
    async with AgentSession[Any](llm=model) as session:
        await session.start(agent)
        yield session, model


class NoEnter(VisionAgent):
    """Greets in its own way."""

    entered = False

    async def on_enter(self) -> None:
        self.entered = True


async def test_on_enter_without_super_sees_and_closes_with_the_session() -> None:
    vision = Vision(source=CardSource())
    agent = NoEnter(vision=vision)
    async with session_of(agent) as (session, _):
        assert CODE in await ask(session)
        assert agent.entered and vision.is_open
    assert not vision.is_open


class NoExit(VisionAgent):
    """Says goodbye in its own way."""

    left = False

    async def on_exit(self) -> None:
        self.left = True


async def test_on_exit_without_super_leaves_nothing_open(server: LocalServer) -> None:
    async with joined(server, "agent") as room:
        vision = Vision.for_room(room)
        agent = NoExit(vision=vision)
        async with session_of(agent):
            assert vision.is_open
        assert agent.left and not vision.is_open
        async with session_of(VisionAgent(vision=vision)):  # the topics are free again
            assert vision.is_open


class NoTurn(VisionAgent):
    """Does as it likes at the end of a turn."""

    turns = 0

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        self.turns += 1


async def test_on_user_turn_completed_without_super_keeps_the_preemptive_replys_picture() -> None:
    agents: list[NoTurn] = []

    def made(vision: Vision) -> VisionAgent:
        agents.append(NoTurn(vision=vision))
        return agents[-1]

    async with talking(Vision(source=CardSource()), made) as talk:
        for turn in range(1, 3):
            assert CODE in await talk.ask()
            assert len(talk.model.requests) == turn  # the preemptive reply is used
            assert images_in(talk.model.requests[-1]) == images_in(talk.session.history)
        assert agents[0].turns == 2


class Rewording(VisionAgent):
    """Rewrites the user's message, and so drops everything else in it."""

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        new_message.content = ["What does the QR code say, please?"]


async def test_a_reworded_question_has_a_picture() -> None:
    async with talking(Vision(source=CardSource()), lambda vision: Rewording(vision=vision)) as talk:
        assert CODE in await talk.ask()
        (message,) = [m for m in talk.session.history.messages() if m.role == "user"]
        assert message.text_content == "What does the QR code say, please?"
        assert len(images_in(talk.session.history)) == 1


class Refusing(VisionAgent):
    """Answers nothing that is spoken."""

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        raise StopResponse


async def test_a_hook_that_stops_the_answer_stops_it() -> None:
    async with talking(Vision(source=CardSource()), lambda vision: Refusing(vision=vision)) as talk:
        talk.session.options.preemptive_generation["enabled"] = False
        await talk.ears.say("What does the QR code say?")
        assert CODE in await talk.type()  # a typed question goes another way
        assert len(talk.model.requests) == 1


class OwnNode(VisionAgent):
    """Calls the framework's node instead of ours, with a note of its own."""

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncIterable[llm.ChatChunk | str | FlushSentinel]:
        request = chat_ctx.copy()
        request.add_message(role="system", content="Be brief.")
        async for chunk in Agent.default.llm_node(self, request, tools, model_settings):
            yield chunk


class ThroughSuper(OwnNode):
    """Calls the method that it overrides."""

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncIterable[llm.ChatChunk | str | FlushSentinel]:
        async for chunk in super().llm_node(chat_ctx, tools, model_settings):
            yield chunk


@pytest.mark.parametrize("kind", [OwnNode, ThroughSuper])
async def test_llm_node_without_super_gets_the_request_with_the_view_in_it(kind: type[VisionAgent]) -> None:
    vision = Vision(source=CardSource())
    async with session_of(kind(vision=vision)) as (session, model):
        for turn in range(1, 3):
            assert CODE in await ask(session)
            assert model.requests[-1].messages()[-1].text_content == "Be brief."
            (_, line, picture) = users(model.requests[-1])[-1]
            assert line.startswith('[picture: "desk", seen ') and picture == "<picture>"
            assert len(vision.ledger.requests) == turn  # looked at once


class Plain(VisionAgent):
    """Returns a sentence, as livekit-agents allows."""

    async def llm_node(  # type: ignore[override]  # LiveKit takes a coroutine, too
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> str:
        return f"There are {len(images_in(chat_ctx))} pictures."


async def test_a_node_that_is_a_coroutine_works() -> None:
    async with session_of(Plain(vision=Vision(source=CardSource()))) as (session, _):
        assert await ask(session) == "There are 1 pictures."


async def test_a_tool_call_of_a_node_of_ones_own_belongs_to_its_request() -> None:
    class Kept:
        sent = 0

        async def send(self, *args: Any, **known: Any) -> None:
            self.sent += 1

    output = Kept()
    vision = Vision(source=CardSource())
    async with session_of(OwnNode(vision=vision, output=output)) as (session, _):
        assert f"I marked {CODE}" in await ask(session, "Please mark the QR code.")
    assert output.sent == 1
