"""Requests that no new user message started, and pictures that tools add, in a real session."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import AgentSession, RunContext, function_tool, llm

from vision_agent import EncodedImage, Vision, VisionAgent, VisionOptions
from vision_agent.imaging.frame import Frame
from vision_agent.imaging.jpeg import encode_rgb
from vision_agent.sources.testcard import code_at, render

from .cards import CardSource, ListeningLLM, images_in
from .rooms import ask
from .seeing import users
from .waiting import until


async def say(session: AgentSession[Any], instructions: str) -> str:
    handle = session.generate_reply(instructions=instructions)
    await handle
    return (session.history.messages()[-1].text_content) or ""


async def test_what_the_agent_says_by_itself_is_of_its_own_moment() -> None:
    source, model = CardSource(), ListeningLLM()
    async with Vision(source=source) as vision, AgentSession[Any](llm=model) as session:
        await session.start(VisionAgent(vision=vision))
        assert "VA-1700000000" in await say(session, "Say what the QR code says.")
        for step in range(1, 4):
            assert code_at(source.moment_s) in await ask(session)
            source.moment_s += 60
            shown = vision.eyes[0].watcher.latest
            await until(lambda old=shown: vision.eyes[0].watcher.latest is not old)  # type: ignore[misc]
            answer = await say(session, "Say what the QR code says.")
            assert code_at(source.moment_s) in answer and code_at(source.moment_s - 60) not in answer
            assert users(model.requests[-1])[-1][0].endswith(" ms before this request]")
            assert vision.ledger.requests[-1].turn == 2 * step + 1
        source.problem = "it is muted"
        assert "muted" in await say(session, "Say what you see.")


async def test_a_picture_that_a_tool_adds_is_in_the_follow_up_and_no_question() -> None:
    zoomed = encode_rgb(render(1_700_005_000.0, (640, 360)), max_side_px=640)
    agents: list[VisionAgent] = []

    @function_tool
    async def zoom(context: RunContext[Any]) -> str:
        """Look closer."""
        return await agents[0].add_picture(zoomed, caption="the label")

    model = CallingLLM("zoom")
    vision = Vision(source=CardSource())
    async with AgentSession[Any](llm=model) as session:
        agents.append(VisionAgent(vision=vision, tools=[zoom]))
        await session.start(agents[0])
        await ask(session, "What does the QR code on the label say?")
        assert len(model.requests) == 2
        assert len(images_in(model.requests[1])) == 2
        lines = [part for parts in users(model.requests[1]) for part in parts]
        assert any('from a tool, "the label"' in part for part in lines)
        first, second = vision.ledger.requests
        assert first.turn == second.turn == 1 and first.answers == second.answers
        purposes = {seen.purpose for key in second.current if (seen := vision.ledger.get(key))}
        assert purposes == {"turn", "tool"}
        await ask(session)
        assert vision.ledger.requests[-1].turn == 2


@pytest.mark.parametrize("kind", ["frame", "file"])
async def test_a_tool_may_add_a_frame_or_the_bytes_of_a_file(kind: str) -> None:
    rgb = render(1_700_005_000.0, (1280, 720))
    frame = Frame.from_rgb(rgb, captured_s=0.0)
    vision = Vision(source=CardSource(), options=VisionOptions(max_side_px=320))
    async with AgentSession[Any](llm=ListeningLLM()) as session:
        agent = VisionAgent(vision=vision)
        await session.start(agent)
        data = encode_rgb(rgb, max_side_px=1280).data
        assert "is in your context now" in await agent.add_picture(frame if kind == "frame" else data)
        (added,) = [each for each in vision.ledger.sightings if each.purpose == "tool"]
        assert isinstance(added.image, EncodedImage) and (added.image.width, added.image.height) == (320, 180)


class CallingLLM(ListeningLLM):
    """Calls a tool at its first request."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def chat(self, *, chat_ctx: llm.ChatContext, **kwargs: Any) -> llm.LLMStream:
        if self.requests:
            return super().chat(chat_ctx=chat_ctx, **kwargs)
        self.requests.append(chat_ctx)
        return _Call(self, chat_ctx=chat_ctx, tools=[], conn_options=kwargs["conn_options"], name=self._name)


class _Call(llm.LLMStream):
    def __init__(self, model: llm.LLM[Any], *, name: str, **kwargs: Any) -> None:
        self._tool = name
        super().__init__(model, **kwargs)

    async def _run(self) -> None:
        call = llm.FunctionToolCall(name=self._tool, arguments="{}", call_id="c1")
        delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))
