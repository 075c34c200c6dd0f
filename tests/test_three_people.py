"""A room with a camera first and three people: each request holds exactly what the binder's table says."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import AgentSession, function_tool, llm, room_io
from PIL import Image

from vision_agent import Vision, VisionAgent, VisionOptions
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.livekit_compat import lasting_connect_options
from vision_agent.models.reading import read_codes
from vision_agent.record.ledger import RequestRecord
from vision_agent.record.sighting import Sighting
from vision_agent.sources.testcard import render
from vision_agent.testing.cards import CardSource as CardSource
from vision_agent.testing.listening import ListeningLLM
from vision_agent.testing.scripted import Ears, SilentInput, SilentOutput, SilentTTS
from vision_agent.testing.server import LocalServer

from .files import file_of
from .rooms import joined, publishing
from .sending import Sender
from .talking import CAMERA, device, person
from .visitor import Visitor
from .waiting import until

SIZE_WH = (480, 270)
QUESTIONS = 30
VIEWS = {
    "camera of door": 0.0,
    "camera of ann": 5_000.0,
    "camera of bob": 10_000.0,
    "screen of bob": 15_000.0,
}
"""The views, and how far the clock of each testcard is behind: a code tells its view and its moment."""
QUESTION = "What does the QR code say?"


class CallingLLM(ListeningLLM):
    """The built-in model; a question that says so begins with a call of the user's own tool."""

    def chat(self, *, chat_ctx: llm.ChatContext, **known: Any) -> llm.LLMStream:
        question = [m for m in chat_ctx.messages() if m.role == "user"][-1].text_content or ""
        if "look it up" in question and not isinstance(chat_ctx.items[-1], llm.FunctionCallOutput):
            self.requests.append(chat_ctx)
            return _Call(self, chat_ctx=chat_ctx, tools=[], conn_options=known["conn_options"])
        return super().chat(chat_ctx=chat_ctx, **known)


class _Call(llm.LLMStream):
    async def _run(self) -> None:
        call = llm.FunctionToolCall(name="lookup", arguments="{}", call_id=f"call-{time.monotonic_ns()}")
        delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))


@function_tool
async def lookup() -> str:
    """Find something out."""
    return "found"


@dataclass
class Scene:
    """The room, and what has been sent since the last question."""

    vision: Vision
    session: AgentSession[Any]
    ears: Ears
    model: CallingLLM
    people: dict[str, Visitor]
    senders: dict[str, Sender]
    waiting: list[int] = field(default_factory=list)
    sent: int = 0
    checked: int = 0

    async def send(self, name: str) -> None:
        """Somebody sends a picture with a code of its own."""
        self.sent += 1
        code = 1_500_000_000 + self.sent
        card = Image.fromarray(render(float(code), SIZE_WH))
        result = await self.senders[name].send(file_of("PNG", card), "card.png", "image/png", f"card {code}")
        assert result["accepted"], result
        self.waiting.append(code)

    async def typed(self, name: str, question: str = QUESTION) -> None:
        before_s = time.monotonic()
        heard = await self.people[name].answer_to(await self.people[name].post(question))
        assert heard.attributes["vision.asked_by"] == name
        requests = self.new_requests(2 if "look it up" in question else 1)
        for request in requests:
            self.check(request, asked_by=name, since_s=before_s, is_asked=True)
        assert len({request.current for request, _ in requests}) == 1  # a quick tool: the very same sightings
        self.waiting.clear()

    async def spoken(self) -> None:
        before_s = time.monotonic()
        answers = len([m for m in self.session.history.messages() if m.role == "assistant"])
        await self.ears.say(QUESTION)
        await until(
            lambda: len([m for m in self.session.history.messages() if m.role == "assistant"]) > answers
        )
        (request,) = self.new_requests(1)  # the preemptive reply's, which was used
        self.check(request, asked_by="ann", since_s=before_s, is_asked=True)  # whom the session listens to
        self.waiting.clear()

    async def by_itself(self) -> None:
        before_s = time.monotonic()
        await self.session.generate_reply(instructions=QUESTION)
        (request,) = self.new_requests(1)
        self.check(request, asked_by="", since_s=before_s, is_asked=False)

    def new_requests(self, count: int) -> list[tuple[RequestRecord, llm.ChatContext]]:
        records, requests = self.vision.ledger.requests[self.checked :], self.model.requests[self.checked :]
        assert len(records) == len(requests) == count
        self.checked += count
        return list(zip(records, requests, strict=True))

    def check(
        self,
        request: tuple[RequestRecord, llm.ChatContext],
        *,
        asked_by: str,
        since_s: float,
        is_asked: bool,
    ) -> None:
        """The request's pictures are those of its record, and their codes are of their view and moment."""
        record, chat_ctx = request
        assert bool(record.answers) == is_asked and record.asked_by == asked_by
        content = {
            part.id: part
            for message in chat_ctx.messages()
            for part in message.content
            if isinstance(part, llm.ImageContent)
        }
        assert set(content) == {*record.current, *record.earlier}  # by id
        current = [self.sighting(key) for key in record.current]
        views = [seen for seen in current if seen.purpose == "turn"]
        assert {seen.view for seen in views} == set(VIEWS)
        for seen in views:
            assert seen.captured_s is not None and seen.captured_s > since_s - 0.35  # max_age_s and a little
            assert abs(code_in(content[seen.id]) + VIEWS[seen.view] - (seen.captured_unix_s or 0)) < 1.6
            assert seen.owner == seen.view.split(" of ")[1]
        uploads = [seen for seen in current if seen.purpose == "upload"]
        assert sorted(code_in(content[seen.id]) for seen in uploads) == sorted(self.waiting)
        assert all(self.sighting(key).purpose in ("turn", "upload") for key in record.earlier)
        roles = [m.role for m in chat_ctx.messages() if m.role in ("user", "assistant")]
        assert ("user", "user") not in itertools.pairwise(roles), roles

    def sighting(self, key: str) -> Sighting:
        seen = self.vision.ledger.get(key)
        assert seen is not None and seen.image is not None
        return seen


def code_in(content: llm.ImageContent) -> int:
    assert isinstance(content.image, str)
    (mark,) = read_codes(decode_jpeg(base64.b64decode(content.image.partition(",")[2])))
    return int(mark.text.removeprefix("VA-"))


@asynccontextmanager
async def scene(server: LocalServer) -> AsyncIterator[Scene]:
    options = room_io.RoomOptions(audio_input=False, audio_output=False, close_on_disconnect=False)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        door = await enter(device(server, "door", grants=CAMERA))
        await enter(publishing(door, size_wh=SIZE_WH, late_s=VIEWS["camera of door"]))
        agent_room = await enter(joined(server, "agent"))
        vision = await enter(Vision.for_room(agent_room, options=VisionOptions(max_images=6)))
        model, ears = CallingLLM(), Ears()
        await enter(model)
        session = await enter(
            AgentSession[Any](
                llm=model, stt=ears.stt, vad=ears.vad, tts=SilentTTS(), conn_options=lasting_connect_options()
            )
        )
        session.input.audio, session.output.audio = SilentInput(), SilentOutput()
        await session.start(VisionAgent(vision=vision, tools=[lookup]), room=agent_room, room_options=options)
        people = {name: await enter(person(server, name)) for name in ("ann", "bob", "carl")}
        await enter(publishing(people["ann"].room, size_wh=SIZE_WH, late_s=VIEWS["camera of ann"]))
        await enter(publishing(people["bob"].room, size_wh=SIZE_WH, late_s=VIEWS["camera of bob"]))
        screen = rtc.TrackSource.SOURCE_SCREENSHARE
        await enter(publishing(people["bob"].room, screen, size_wh=SIZE_WH, late_s=VIEWS["screen of bob"]))
        senders = {name: Sender(people[name].room) for name in ("ann", "bob")}
        await until(lambda: {eye.source.name for eye in vision.eyes} == set(VIEWS))
        await until(lambda: all(eye.watcher.latest is not None for eye in vision.eyes))
        yield Scene(vision, session, ears, model, people, senders)


@pytest.mark.timeout(240)
async def test_thirty_questions_of_three_people_each_get_exactly_what_the_table_says(
    server: LocalServer,
) -> None:
    async with scene(server) as room:
        for number in range(QUESTIONS):
            name = ("ann", "bob", "carl")[number % 3]
            if number % 4 == 1:
                await asyncio.gather(room.send("ann"), room.send("bob"))
            if number % 5 == 2:
                await room.by_itself()
            if number % 3 == 2:
                await room.spoken()
            elif number % 6 == 4:
                await room.typed(name, "Please look it up: what does the QR code say?")
            else:
                await room.typed(name)
        turns = [request.turn for request in room.vision.ledger.requests]
        assert turns == sorted(turns) and set(turns) == set(range(1, turns[-1] + 1))
        assert turns[-1] == QUESTIONS + 6  # what the agent said by itself is a turn, too
