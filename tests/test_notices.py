"""If the model fails, the room and the log get one line for each answer, and the session goes on."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import (
    Agent,
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    ErrorEvent,
    llm,
    stt,
    tts,
)
from livekit.plugins import google

from vision_agent.hearing.notices import explain
from vision_agent.testing.server import LocalServer

from .rooms import joined
from .talking import EchoLLM, person, talking
from .waiting import until


def status(code: int) -> APIStatusError:
    return APIStatusError("overloaded: my secret", status_code=code, body={"echo": "my secret"})


async def test_each_of_six_failures_is_told_and_then_it_answers_again(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    model = EchoLLM()
    model.failures = [status(401) for _ in range(6)]
    async with (
        joined(server, "agent") as room,
        person(server, "alice") as alice,
        person(server, "bob") as bob,
    ):
        async with talking(room, model) as talk:
            for number in range(6):
                asked = await alice.post(f"my secret {number}")
                for each in (alice, bob):
                    told = await each.answer_to(asked)
                    assert told.text == "I could not answer: the model failed. Please ask again."
                    assert told.attributes["vision.error"] == "model"
                    assert told.attributes["vision.asked_by"] == "alice"
                    assert told.attributes["lk.transcription_final"] == "true"
            answer = await alice.answer_to(await alice.post("And now?"))
            assert answer.text.strip() == "You asked: And now?" and "vision.error" not in answer.attributes
            assert talk.notices.count == 6
            assert (talk.questions.statistics.failed, talk.questions.statistics.answered) == (6, 1)
    lines = [
        record.getMessage() for record in caplog.records if record.name == "vision_agent.hearing.notices"
    ]
    assert len(lines) == 6 and not any("my secret" in line for line in lines)
    assert all("HTTP 401: the provider refuses the key" in line for line in lines)


async def test_an_answer_that_is_tried_four_times_is_one_failure(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    model = EchoLLM()
    model.failures = [status(503) for _ in range(5)]
    async with joined(server, "agent") as room, person(server, "alice") as alice:
        async with talking(room, model) as talk:
            told = await alice.answer_to(await alice.post("First?"))
            assert told.attributes["vision.error"] == "model" and len(model.requests) == 4
            answer = await alice.answer_to(await alice.post("Second?"))  # fails once, then goes well
            assert "Second?" in answer.text and talk.notices.count == 1
    (line,) = [
        record.getMessage() for record in caplog.records if record.name == "vision_agent.hearing.notices"
    ]
    assert line == "the model failed to answer: HTTP 503: the provider is overloaded or down; ask again"


async def test_a_model_that_says_nothing_is_told(server: LocalServer) -> None:
    model = EchoLLM()
    model.says = ""
    async with joined(server, "agent") as room, person(server, "alice") as alice:
        async with talking(room, model) as talk:
            told = await alice.answer_to(await alice.post("Hello?"))
            assert "said nothing" in told.text and told.attributes["vision.error"] == "model"
            await until(lambda: talk.questions.statistics.failed == 1)


class BlindAgent(Agent):
    """Fails by itself, before any model is asked."""

    async def llm_node(self, chat_ctx: llm.ChatContext, tools: Any, model_settings: Any) -> Any:
        raise LookupError("my secret")
        yield


async def test_an_agent_that_fails_by_itself_is_told_too(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with joined(server, "agent") as room, person(server, "alice") as alice:
        async with talking(room) as talk:
            talk.session.update_agent(BlindAgent(instructions=""))
            await until(lambda: isinstance(talk.session.current_agent, BlindAgent))
            told = await alice.answer_to(await alice.post("Hello?"))
            assert told.attributes["vision.error"] == "model"
    (line,) = [
        record.getMessage() for record in caplog.records if record.name == "vision_agent.hearing.notices"
    ]
    assert line == "the model failed to answer: LookupError in the agent; the lines above say where"


async def test_ears_and_voice_that_fail_are_told_as_such(server: LocalServer) -> None:
    async with joined(server, "agent") as room, person(server, "alice") as alice:
        await until(lambda: "alice" in room.remote_participants)
        async with talking(room) as talk:
            for source, error in (
                (None, tts.TTSError(timestamp=0, label="voice", error=status(503), recoverable=False)),
                (None, stt.STTError(timestamp=0, label="ears", error=status(503), recoverable=True)),
                (None, stt.STTError(timestamp=0, label="ears", error=status(503), recoverable=False)),
            ):
                talk.session.emit("error", ErrorEvent(error=error, source=source))
            await until(lambda: len(alice.heard) == 2)
            assert {each.attributes["vision.error"] for each in alice.heard} == {"voice", "hearing"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (status(400), "HTTP 400: the provider refuses the request: check GOOGLE_API_KEY"),
        (status(403), "HTTP 403: the provider refuses the key: check GOOGLE_API_KEY"),
        (status(404), "HTTP 404: the provider does not know the model"),
        (status(408), "HTTP 408: the provider took too long"),
        (status(429), "HTTP 429: the provider's limit is reached"),
        (status(500), "HTTP 500: the provider is overloaded or down"),
        (APITimeoutError("my secret"), "no answer in time"),
        (APIConnectionError("my secret"), "the provider can't be reached"),
        (APIStatusError("my secret"), "the provider gave an error without a status"),
        (APIError("my secret"), "the provider gave an error without a status"),
    ],
)
def test_an_error_is_explained_without_its_text(error: Exception, said: str) -> None:
    model = google.LLM(api_key="k")
    assert explain(error, model).startswith(said) and "my secret" not in explain(error, model)
    tried = APIConnectionError("failed after 4 attempts")  # as LiveKit tells the last of several tries
    tried.__cause__ = error
    assert explain(tried, model).startswith(said)
    assert explain(ValueError("my secret"), model).startswith("ValueError in the agent")
