"""OpenAI Realtime's real client: each picture is an item of the conversation, and few of them stay."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, ErrorEvent, function_tool, llm, vad
from livekit.plugins import openai
from openai.types.realtime.realtime_audio_input_turn_detection import ServerVad

from vision_agent import Vision, VisionAgent, VisionOptions, encode_jpeg
from vision_agent.realtime import RealtimeFeed, policy_of
from vision_agent.realtime.items import PREFIX
from vision_agent.sources.testcard import TestcardSource, code_at
from vision_agent.testing.scripted import ScriptedVAD, SilentInput
from vision_agent.testing.server import LocalServer

from .cards import CardSource
from .openai_realtime import OpenAIRealtimeServer, codes_in, has_picture, picture_of, texts_of
from .rooms import ask, codes, joined, publishing
from .waiting import until


@pytest.fixture(params=[True, False], ids=["echoed", "not echoed"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[OpenAIRealtimeServer]:
    """Run with a server that sends pictures back when it confirms them, and with one that does not."""
    async with OpenAIRealtimeServer(echoes=request.param) as server:
        yield server


@asynccontextmanager
async def talking(
    api: OpenAIRealtimeServer, agent: Agent, *, ears: ScriptedVAD | None = None, **options: Any
) -> AsyncIterator[AgentSession[Any]]:
    """Talk to the server; with ``ears`` LiveKit decides the turns, without them the server does."""
    model = model_of(api, **options)
    turns: dict[str, Any] = {}
    if ears is not None:
        turns = {"vad": ears, "turn_handling": {"turn_detection": "vad"}}
    try:
        async with AgentSession[Any](llm=model, **turns) as session:
            if ears is not None:
                session.input.audio = SilentInput()
            await session.start(agent)
            await reached(lambda: api.connections, 1)
            yield session
    finally:
        await model.aclose()


async def reached(count: Callable[[], int], wanted: int) -> None:
    """Wait until there are exactly this many; more is an error."""
    await until(lambda: count() >= wanted)
    assert count() == wanted


async def at_least(count: Callable[[], int], wanted: int) -> None:
    await until(lambda: count() >= wanted)


def model_of(api: OpenAIRealtimeServer, **options: Any) -> openai.realtime.RealtimeModel:
    return openai.realtime.RealtimeModel(
        api_key="x", base_url=api.base_url, modalities=["text"], input_audio_transcription=None, **options
    )


async def more_frames(vision: Vision, count: int) -> None:
    """Wait until this many more frames have reached the only view."""
    statistics = vision.eyes[0].watcher.statistics
    wanted = statistics.received + count
    await until(lambda: statistics.received >= wanted)


async def shows(vision: Vision, source: CardSource, moment_s: float) -> None:
    """Let the card show another moment, and wait until this is in view."""
    source.moment_s = moment_s
    await more_frames(vision, 3)


async def check_in_step(api: OpenAIRealtimeServer, agent: Agent) -> None:
    """LiveKit's copy of the conversation is right, except for our pictures; the agent has none of them."""
    session = agent.realtime_llm_session
    there = [item["id"] for item in api.items if item not in api.ours]
    await until(lambda: [item.id for item in session.chat_ctx.items] == there, within_s=2)
    assert not any(item.id.startswith(PREFIX) for item in agent.chat_ctx.items)


def lines_of_no_picture(api: OpenAIRealtimeServer) -> int:
    return sum(text.startswith("[no picture") for text in api.texts)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        each.getMessage()
        for each in caplog.records
        if each.name.startswith("livekit") and each.levelno >= logging.WARNING
    ]


async def test_at_rest_nothing_goes_out_and_a_typed_question_brings_one_picture_of_its_moment(
    api: OpenAIRealtimeServer, caplog: pytest.LogCaptureFixture
) -> None:
    source = CardSource()
    vision = Vision(source=source, options=VisionOptions(silent_fps=50, speaking_fps=50))
    agent = VisionAgent(vision=vision)
    async with talking(api, agent) as session:
        await more_frames(vision, 100)
        assert api.created == []
        for turn in range(1, 6):
            await shows(vision, source, 1_700_000_000.0 + turn)
            assert codes(await ask(session)) == [1_700_000_000 + turn]
            assert len(api.created) == turn
            assert codes_in(api.created[-1]) == [code_at(source.moment_s)]
            (line,) = texts_of(api.created[-1])
            assert re.fullmatch(r'\[picture: "desk", seen \d+ ms before now\]', line)
            await until(lambda: api.pictures == api.created[-1:])
            await check_in_step(api, agent)
        await more_frames(vision, 100)
        assert len(api.created) == 5
    assert api.errors == [] and complaints(caplog) == []


async def test_what_livekit_puts_into_the_conversation_stays_there_and_in_its_order(
    api: OpenAIRealtimeServer, caplog: pytest.LogCaptureFixture
) -> None:
    @function_tool
    async def look_outside() -> str:
        """Look outside."""
        return "It rains."

    source = CardSource()
    vision = Vision(source=source)
    agent = VisionAgent(vision=vision, tools=[look_outside])
    async with talking(api, agent) as session:
        await more_frames(vision, 1)
        latest = vision.eyes[0].watcher.latest
        assert latest is not None
        url = encode_jpeg(latest, max_side_px=64).data_url()
        for turn in range(1, 4):
            await ask(session)
            chat_ctx = agent.chat_ctx.copy()
            chat_ctx.add_message(role="user", content=[f"upload {turn}", llm.ImageContent(image=url)])
            await agent.update_chat_ctx(chat_ctx)
            source.problem = f"it is muted {turn}"
            await reached(lambda: lines_of_no_picture(api), turn)
            assert api.texts[-1] == f'[no picture from "desk": it is muted {turn}]'
            assert "I see nothing" not in await ask(session)  # the last picture is still there
            source.problem = None
            await until(lambda: api.texts[-1] == '["desk" shows what is there now, again]')
            api.calls.append({"name": "look_outside", "arguments": "{}"})
            await ask(session)
            await check_in_step(api, agent)
        kept = [item for item in api.pictures if item not in api.ours]
        assert [texts_of(item) for item in kept] == [["upload 1"], ["upload 2"], ["upload 3"]]
        assert len(api.ours) == 1
        assert sum(item["type"] == "function_call_output" for item in api.items) == 3
        said = [item.id for item in agent.chat_ctx.items if item.type != "agent_config_update"]
        assert said == [item["id"] for item in api.items if item not in api.ours]
    assert api.errors == [] and complaints(caplog) == []


async def test_where_the_turns_are_ours_the_end_of_speech_brings_one_picture_before_the_answer(
    api: OpenAIRealtimeServer,
) -> None:
    source, ears = CardSource(), ScriptedVAD()
    vision = Vision(source=source, options=VisionOptions(speaking_fps=50))
    agent = VisionAgent(vision=vision)
    async with talking(api, agent, ears=ears) as session:
        assert policy_of(agent.realtime_llm_session) == "items"
        for turn in range(1, 4):
            ears.script.put_nowait(vad.VADEventType.START_OF_SPEECH)
            await until(lambda: session.user_state == "speaking" and api.audio_bytes > 9600)
            await shows(vision, source, 1_700_000_000.0 + turn)
            assert len(api.created) == turn - 1
            ears.script.put_nowait(vad.VADEventType.END_OF_SPEECH)
            await reached(lambda: len(api.answers), turn)
            assert api.answers[-1].codes == [code_at(source.moment_s)]
            assert len(api.created) == turn and not api.answers[-1].by_server
            *_, picture, audio = api.answers[-1].items
            assert has_picture(picture) and audio["content"][0]["type"] == "input_audio"
            await until(lambda: session.agent_state == "listening")
    assert api.errors == []


async def test_where_the_server_answers_by_itself_a_picture_of_the_last_moments_is_there_already() -> None:
    detection = ServerVad(type="server_vad", create_response=True)
    options = VisionOptions(speaking_fps=5.0, silent_fps=50)
    async with OpenAIRealtimeServer(answers_itself=True) as api:
        agent = VisionAgent(vision=Vision(source=TestcardSource(fps=30), options=options))
        async with talking(api, agent, turn_detection=detection) as session:
            assert policy_of(agent.realtime_llm_session) == "items_while_speaking"
            for turn in range(1, 4):
                count, begun_s = len(api.created), time.monotonic()
                await api.begin_speech()
                await at_least(lambda: len(api.created), count + 6)
                assert 0.6 < time.monotonic() - begun_s < 5
                assert len(api.ours) <= 2  # the new one goes in before the old one goes out
                ended_s, count = time.time(), len(api.created)
                await api.end_speech()
                assert len(api.answers) == turn and api.answers[-1].by_server
                assert codes(api.answers[-1].codes[-1])[0] + 1 >= ended_s - 1.0
                await until(lambda: session.user_state == "listening")
                await reached(lambda: len(api.created), count + 1)
                await until(lambda: api.ours == api.created[-1:])
                await check_in_step(api, agent)
        assert api.errors == []


async def test_the_transcript_of_a_spoken_question_brings_no_second_picture() -> None:
    source, ears = CardSource(), ScriptedVAD()
    vision = Vision(source=source)
    async with OpenAIRealtimeServer(transcribes="What is this?") as api:
        agent = VisionAgent(vision=vision)
        async with talking(api, agent, ears=ears) as session:
            for turn in range(1, 4):
                ears.script.put_nowait(vad.VADEventType.START_OF_SPEECH)
                await until(lambda: session.user_state == "speaking" and api.audio_bytes > 9600)
                ears.script.put_nowait(vad.VADEventType.END_OF_SPEECH)
                await at_least(lambda: len([m for m in session.history.messages() if m.role == "user"]), turn)
                await more_frames(vision, 10)
                await reached(lambda: len(api.created), turn)
        assert api.errors == []


async def test_at_the_begin_of_speech_there_is_a_picture_even_where_the_rate_is_zero() -> None:
    detection = ServerVad(type="server_vad", create_response=True)
    async with OpenAIRealtimeServer(answers_itself=True) as api:
        vision = Vision(source=CardSource(), options=VisionOptions(speaking_fps=0))
        async with talking(api, VisionAgent(vision=vision), turn_detection=detection):
            await more_frames(vision, 1)
            await api.begin_speech()
            await until(lambda: len(api.created) == 1)
            await api.end_speech()
            assert api.answers[0].codes == [code_at(1_700_000_000.0)]


async def test_after_a_lost_connection_the_next_question_has_its_picture(
    api: OpenAIRealtimeServer,
) -> None:
    source = CardSource()
    vision = Vision(source=source)
    agent = VisionAgent(vision=vision)
    async with talking(api, agent) as session:
        for turn in range(1, 4):
            await shows(vision, source, 1_700_000_000.0 + turn)
            assert codes(await ask(session)) == [1_700_000_000 + turn]
            await until(lambda: len(api.ours) == 1)
            await api.drop()
            await reached(lambda: api.connections, turn + 1)
            await reached(lambda: len(api.items), 2 * turn)  # as LiveKit says them again
            assert api.ours == []
            await check_in_step(api, agent)
    assert api.errors == []


async def test_a_picture_the_server_refuses_is_logged_and_costs_nothing_else(
    api: OpenAIRealtimeServer, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[ErrorEvent] = []
    vision = Vision(source=CardSource())
    async with talking(api, VisionAgent(vision=vision)) as session:
        session.on("error", errors.append)
        await more_frames(vision, 1)
        api.refuses_pictures = True
        assert "I see nothing" in await ask(session)
        api.refuses_pictures = False
        assert codes(await ask(session)) == [1_700_000_000]
        await until(lambda: len(api.ours) == 1)
    assert [error["code"] for error in api.errors] == ["invalid_value"]
    assert errors == [] and complaints(caplog) == []
    assert "the model refused to create a picture" in caplog.messages


async def test_the_next_agent_finds_no_picture_of_the_one_before(
    api: OpenAIRealtimeServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with Vision(source=CardSource()) as vision:
        agents = [EnteringAgent(vision=vision) for _ in range(3)]
        async with talking(api, agents[0]) as session:
            await more_frames(vision, 1)
            for number, agent in enumerate(agents):
                if number:
                    session.update_agent(agent)
                    await until(lambda: api.ours == [])
                await agent.entered.wait()
                assert codes(await ask(session)) == [1_700_000_000]
                await until(lambda: len(api.ours) == 1)
                await check_in_step(api, agent)
    assert api.errors == [] and complaints(caplog) == []


async def test_of_several_views_one_picture_each_stays_and_none_of_a_view_that_left(
    api: OpenAIRealtimeServer, server: LocalServer
) -> None:
    screen = rtc.TrackSource.SOURCE_SCREENSHARE
    async with joined(server, "agent") as room:
        vision = Vision.for_room(room, options=VisionOptions(silent_fps=50))
        async with talking(api, VisionAgent(vision=vision)) as session:
            async with joined(server, "alice") as alice, joined(server, "bob") as bob:
                async with publishing(alice), publishing(bob, screen, late_s=5000):
                    await until(
                        lambda: (
                            len(vision.eyes) == 2
                            and all(eye.watcher.latest is not None for eye in vision.eyes)
                        )
                    )
                    for _ in range(3):
                        found = codes(await ask(session))
                        assert len(found) == 2 and abs(found[0] - found[1]) > 4000
                        named = sorted(line for item in api.answers[-1].items for line in texts_of(item))
                        named = [line for line in named if line.startswith("[picture:")]
                        assert [line.split(",")[0] for line in named] == [
                            '[picture: "camera of alice"',
                            '[picture: "screen of bob"',
                        ]
                    await bob.disconnect()
                    await until(lambda: len(api.ours) == 1)
                    assert '"camera of alice"' in texts_of(api.ours[0])[0]
                    assert len(codes(await ask(session))) == 1
    assert api.errors == []


async def test_a_fallback_adapter_is_fed_as_the_model_in_use(api: OpenAIRealtimeServer) -> None:
    source = CardSource()
    models: list[llm.RealtimeModel] = [model_of(api), model_of(api)]
    adapter = llm.RealtimeModelFallbackAdapter(models)
    vision = Vision(source=source)
    agent = VisionAgent(vision=vision)
    async with AgentSession[Any](llm=adapter) as session:
        await session.start(agent)
        assert policy_of(agent.realtime_llm_session) == "items_while_speaking"
        await more_frames(vision, 1)
        assert codes(await ask(session)) == [1_700_000_000]
        await adapter.restart_session(switch_model=True)
        for turn in range(1, 4):
            await shows(vision, source, 1_700_000_000.0 + turn)
            assert codes(await ask(session)) == [1_700_000_000 + turn]
            await until(lambda: len(api.ours) == 1)
    for model in models:
        await model.aclose()
    assert api.connections == 2 and api.errors == []


async def test_what_a_tool_would_mark_is_the_picture_in_the_conversation() -> None:
    async with OpenAIRealtimeServer() as api, Vision(source=CardSource()) as vision:
        agent = Agent(instructions="")
        async with talking(api, agent):
            await more_frames(vision, 1)
            feed = RealtimeFeed.for_session(vision, agent.realtime_llm_session, no_line)
            feed.start()
            feed.typed()
            await until(lambda: len(api.ours) == 1)
            (seen,) = await feed.sightings()
            assert seen.image is not None and seen.image.data == picture_of(api.ours[0])
            assert vision.ledger.get(seen.id) is seen
            await feed.aclose()
            await until(lambda: api.ours == [])
    assert api.errors == []


class EnteringAgent(VisionAgent):
    """Tells when it has entered a session."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.entered = asyncio.Event()

    async def on_enter(self) -> None:
        await super().on_enter()
        self.entered.set()


async def no_line(line: str) -> None:
    """Take what the model reads."""
