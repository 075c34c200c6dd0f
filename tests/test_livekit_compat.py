"""The non-public names of LiveKit that the package uses: they exist, and do what we expect."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, room_io
from livekit.agents.voice.agent_activity import _OnEnterContextVar
from livekit.agents.voice.room_io import RoomIO
from livekit.agents.voice.room_io._output import _ParticipantStreamTranscriptionOutput
from livekit.agents.voice.room_io.types import _default_text_input_cb
from livekit.plugins import openai

from vision_agent import livekit_compat
from vision_agent.testing.server import LocalServer

from .rooms import joined
from .talking import TEXT_ONLY, WITH_TEXT, EchoLLM, person, talking
from .waiting import until


def handler(reader: rtc.TextStreamReader, identity: str) -> None:
    """Does nothing."""


def test_every_name_is_there() -> None:
    for name in livekit_compat.__all__:
        assert getattr(livekit_compat, name) is not None


async def test_a_rooms_text_handlers_are_by_topic_and_a_taken_topic_is_an_error() -> None:
    room = rtc.Room()
    assert livekit_compat.text_stream_handler(room, "lk.chat") is None
    room.register_text_stream_handler("lk.chat", handler)
    assert livekit_compat.text_stream_handler(room, "lk.chat") is handler
    with pytest.raises(ValueError, match="already set"):
        room.register_text_stream_handler("lk.chat", handler)
    room.unregister_text_stream_handler("lk.chat")
    assert livekit_compat.text_stream_handler(room, "lk.chat") is None


async def test_room_io_takes_typed_text_and_leaves_a_taken_topic_alone(server: LocalServer) -> None:
    async with joined(server, "agent") as room, EchoLLM() as model, AgentSession[Any](llm=model) as session:
        await session.start(Agent(instructions=""), room=room, room_options=WITH_TEXT)
        assert livekit_compat.text_stream_handler(room, "lk.chat") == session.room_io._on_chat_text_stream
    assert livekit_compat.text_stream_handler(room, "lk.chat") is None
    async with joined(server, "agent") as room, EchoLLM() as model, AgentSession[Any](llm=model) as session:
        room.register_text_stream_handler("lk.chat", handler)
        await session.start(Agent(instructions=""), room=room, room_options=TEXT_ONLY)
        await session.aclose()
        assert livekit_compat.text_stream_handler(room, "lk.chat") is handler


async def test_a_claimed_turn_is_what_livekits_own_handler_claims() -> None:
    assert "_claim_user_turn()" in inspect.getsource(_default_text_input_cb)
    async with EchoLLM() as model, AgentSession[Any](llm=model) as session:
        await session.start(Agent(instructions=""))
        states = []
        async with livekit_compat.claim_user_turn(session):
            states.append(session.user_state)
        states.append(session.user_state)
        assert states == ["speaking", "listening"]
        assert await session.wait_for_idle()


async def test_a_closed_session_is_told_by_the_error_of_its_activity() -> None:
    model = EchoLLM()
    model.goes_on.clear()
    async with model:
        session = AgentSession[Any](llm=model)
        await session.start(Agent(instructions=""))
        session.generate_reply(user_input="?")
        waiting = asyncio.ensure_future(session.wait_for_idle())
        await until(lambda: bool(model.requests))
        await session.aclose()
        with pytest.raises(livekit_compat.ActivityClosedError):
            await waiting


async def test_a_task_of_on_enter_is_not_taken_for_the_greeting() -> None:
    seen: list[tuple[bool, bool]] = []

    class Entering(Agent):
        async def on_enter(self) -> None:
            async def look() -> bool:
                return _OnEnterContextVar.get(None) is not None

            own = asyncio.create_task(look())
            seen.append((await own, await livekit_compat.session_task(look(), name="look")))

    async with EchoLLM() as model, AgentSession[Any](llm=model) as session:
        await session.start(Entering(instructions=""))
        await until(lambda: bool(seen))
    assert seen == [(True, False)]


async def test_the_output_of_a_room_reads_its_attributes_at_each_stream(server: LocalServer) -> None:
    parameters = inspect.signature(_ParticipantStreamTranscriptionOutput.__init__).parameters
    assert "attributes" in parameters
    async with joined(server, "agent") as room, person(server, "alice") as alice:
        async with EchoLLM() as model, AgentSession[Any](llm=model) as session:
            assert not livekit_compat.set_answer_attributes(session, {})  # it isn't in a room yet
            await session.start(Agent(instructions=""), room=room, room_options=WITH_TEXT)
            assert session.room_io._agent_tr_output is not None
            attributes = {"vision.asked_by": "one"}
            assert livekit_compat.set_answer_attributes(session, attributes)
            await until(lambda: session.room_io.linked_participant is not None)
            for name in ("one", "two"):
                attributes["vision.asked_by"] = name
                await session.generate_reply(user_input=name)
            await until(lambda: len(alice.heard) == 2)
            assert [each.attributes["vision.asked_by"] for each in alice.heard] == ["one", "two"]
            assert all(each.attributes["lk.transcription_final"] == "true" for each in alice.heard)


def test_errors_in_a_row_have_a_limit_that_can_be_lifted() -> None:
    options = livekit_compat.lasting_connect_options()
    assert "max_unrecoverable_errors" in {each.name for each in fields(options)}
    assert "max_unrecoverable_errors" in inspect.getsource(AgentSession._on_error)
    assert options.max_unrecoverable_errors > 1_000_000


async def test_a_session_keeps_extra_of_a_question_and_says_which_speech_is_current(
    server: LocalServer,
) -> None:
    async with joined(server, "agent") as room, person(server, "alice") as alice, talking(room) as talk:
        talk.model.goes_on.clear()
        await alice.post("?")
        await until(lambda: bool(talk.model.requests))
        await until(lambda: talk.session.current_speech is not None)
        speech = talk.session.current_speech
        assert speech is not None and talk.questions.address(speech)["vision.asked_by"] == "alice"
        talk.model.goes_on.set()
        await speech
        assert [message.extra for message in talk.session.history.messages() if message.role == "user"] == [
            {"vision_agent": {"asked_by": "alice"}}
        ]


def test_room_io_has_what_a_link_needs() -> None:
    for name in ("set_participant", "unset_participant", "linked_participant", "room"):
        assert hasattr(RoomIO, name)


def test_the_workers_server_takes_what_the_worker_gives_it() -> None:
    parameters = inspect.signature(AgentServer.__init__).parameters
    given = {"ws_url", "api_key", "api_secret", "job_executor_type", "initialize_process_timeout"}
    given |= {"preload_modules", "load_threshold", "load_fnc", "host", "port"}
    assert given <= set(parameters)
    option = livekit_compat.ServerEnvOption(dev_default=1.0, prod_default=2.0)
    assert (option.dev_default, option.prod_default) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("make", "reads"),
    [
        (livekit_compat.JsonFormatter, lambda text: json.loads(text)["message"] == "it goes"),
        (
            lambda: livekit_compat.ColoredFormatter("%(esc_levelcolor)s%(message)s%(esc_reset)s %(extra)s"),
            lambda text: "it goes" in text,
        ),
    ],
)
def test_livekits_formatters_take_a_record(
    make: Callable[[], logging.Formatter], reads: Callable[[str], bool]
) -> None:
    record = logging.LogRecord("vision_agent", logging.INFO, __file__, 1, "it goes", None, None)
    assert reads(make().format(record))
    assert all(isinstance(name, str) for name in livekit_compat.NOISY_LOGGERS)


async def test_what_was_said_is_logged_under_names_that_begin_with_the_mark(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="livekit.agents")
    async with EchoLLM() as model, AgentSession[Any](llm=model) as session:
        await session.start(Agent(instructions=""))
        await session.generate_reply(user_input="my secret")
    holding = [
        name for record in caplog.records for name, value in vars(record).items() if "my secret" in str(value)
    ]
    assert holding and all(name.startswith(livekit_compat.PRIVATE_FIELD_PREFIX) for name in holding)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        # of other modules of the package, and of its tests and benchmarks
        ("livekit.agents.voice.agent_session", ["SessionConnectOptions"]),
        ("livekit.agents.voice.run_result", ["RunResult"]),
        ("livekit.agents", ["room_io", "RunResult", "SpeechCreatedEvent", "CloseReason"]),
        ("livekit.agents.language", ["LanguageCode"]),
        ("livekit.agents.voice", ["SpeechHandle", "io"]),
        (
            "livekit.agents.types",
            ["NotGivenOr", "TOPIC_CHAT", "TOPIC_TRANSCRIPTION", "ATTRIBUTE_AGENT_STATE"],
        ),
        ("livekit.agents.llm.utils", ["serialize_image"]),
        ("livekit.agents.utils", ["images", "AudioBuffer", "http_context"]),
    ],
)
def test_names_of_modules_that_are_not_documented(module: str, names: list[str]) -> None:
    found = importlib.import_module(module)
    assert all(hasattr(found, name) for name in names)


async def test_it_is_known_whether_livekit_answers_typed_text_and_whom_it_listens_to(
    server: LocalServer,
) -> None:
    async def own(session: AgentSession[Any], event: room_io.TextInputEvent) -> None: ...

    for options, takes, chooses in (
        (WITH_TEXT, True, True),
        (TEXT_ONLY, False, True),
        (replace(WITH_TEXT, text_input=room_io.TextInputOptions(text_input_cb=own)), False, True),
        (replace(WITH_TEXT, participant_identity="alice"), True, False),
    ):
        async with (
            joined(server, "agent") as room,
            EchoLLM() as model,
            AgentSession[Any](llm=model) as session,
        ):
            await session.start(Agent(instructions=""), room=room, room_options=options)
            assert livekit_compat.takes_typed_text(session) is takes
            assert livekit_compat.chooses_participant(session) is chooses
    async with EchoLLM() as model, AgentSession[Any](llm=model) as session:
        await session.start(Agent(instructions=""))
        assert not livekit_compat.takes_typed_text(session)
        assert not livekit_compat.chooses_participant(session)


def test_the_names_of_openais_session_are_where_we_look_for_them() -> None:
    session = openai.realtime.RealtimeSession
    assert any(each.__module__.startswith(livekit_compat._OPENAI_MODULES) for each in session.__mro__)
    assert callable(session.send_event)
