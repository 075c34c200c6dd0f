"""An agent in a room that answers typed questions, with a model whose answers the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from livekit import api, rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    Agent,
    AgentSession,
    APIConnectOptions,
    llm,
    room_io,
)
from livekit.agents.types import NotGivenOr

from vision_agent.hearing.fair_queue import FairQueue
from vision_agent.hearing.listening import EVERYBODY, Listening
from vision_agent.hearing.notices import FailureNotices
from vision_agent.hearing.questions import Questions
from vision_agent.livekit_compat import lasting_connect_options
from vision_agent.testing.server import LocalServer

from .rooms import joined
from .visitor import Visitor

TEXT_ONLY = room_io.RoomOptions(
    text_input=False, audio_input=False, audio_output=False, close_on_disconnect=False
)

WITH_TEXT = replace(TEXT_ONLY, text_input=True)
"""As LiveKit does it by itself."""

CAMERA = api.VideoGrants(can_publish=True, can_subscribe=False)


class EchoLLM(llm.LLM[Any]):
    """Answers ``You asked: …``; fails while ``failures`` are left, and waits while ``goes_on`` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[llm.ChatContext] = []
        self.failures: list[Exception] = []
        self.says = "You asked: {}"
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    @property
    def asked(self) -> list[str]:
        """The question of each request, tries again included."""
        return [question_of(request) for request in self.requests]

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        quickly = APIConnectOptions(max_retry=conn_options.max_retry, retry_interval=0.01)
        return _EchoStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=quickly)


class _EchoStream(llm.LLMStream):
    async def _run(self) -> None:
        model = self._llm
        assert isinstance(model, EchoLLM)
        model.requests.append(self._chat_ctx)
        await model.goes_on.wait()
        if model.failures:
            raise model.failures.pop(0)
        for piece in model.says.format(question_of(self._chat_ctx)).split(" "):
            delta = llm.ChoiceDelta(role="assistant", content=f"{piece} " if piece else "")
            self._event_ch.send_nowait(llm.ChatChunk(id="echo", delta=delta))


def question_of(chat_ctx: llm.ChatContext) -> str:
    return [message.text_content or "" for message in chat_ctx.messages() if message.role == "user"][-1]


@dataclass(frozen=True, kw_only=True)
class Talk:
    """What answers in a room."""

    room: rtc.Room
    session: AgentSession[Any]
    questions: Questions
    notices: FailureNotices
    model: EchoLLM


@asynccontextmanager
async def talking(
    room: rtc.Room,
    model: EchoLLM | None = None,
    *,
    listening: Listening = EVERYBODY,
    queue: FairQueue | None = None,
    attach: bool = True,
) -> AsyncIterator[Talk]:
    """Answer in a room, as the worker does; without ``attach`` it only takes and keeps the questions."""
    model = EchoLLM() if model is None else model
    options = lasting_connect_options()
    async with model, Questions(room, listening=listening, queue=queue) as questions:
        async with AgentSession[Any](llm=model, conn_options=options) as session:
            async with FailureNotices(session, room, address=questions.address) as notices:
                await session.start(Agent(instructions="Echo."), room=room, room_options=TEXT_ONLY)
                if attach:
                    questions.attach(session)
                yield Talk(room=room, session=session, questions=questions, notices=notices, model=model)
                model.goes_on.set()


@asynccontextmanager
async def person(server: LocalServer, identity: str) -> AsyncIterator[Visitor]:
    """Join as a person with a microphone: the server announces people who publish nothing up to 3 s late."""
    async with joined(server, identity) as room:
        microphone = rtc.LocalAudioTrack.create_audio_track("microphone", rtc.AudioSource(16000, 1))
        await room.local_participant.publish_track(microphone)
        yield Visitor(room)


@asynccontextmanager
async def device(
    server: LocalServer,
    identity: str,
    *,
    kind: api.AccessToken.ParticipantKind = "standard",
    grants: api.VideoGrants | None = None,
) -> AsyncIterator[rtc.Room]:
    """Join as something that is no person."""
    grants = replace(api.VideoGrants() if grants is None else grants, room_join=True, room="test")
    token = api.AccessToken(server.api_key, server.api_secret).with_identity(identity)
    room = rtc.Room()
    await room.connect(server.url, token.with_kind(kind).with_grants(grants).to_jwt())
    try:
        yield room
    finally:
        await room.disconnect()
