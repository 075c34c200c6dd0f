"""``FailureNotices``: if an answer fails, the room and the log get a line, and the session goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from livekit import rtc
from livekit.agents import (
    AgentSession,
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    ErrorEvent,
    SpeechCreatedEvent,
    llm,
)
from livekit.agents.voice import SpeechHandle

from ..waiting import ended
from .transcript import ERROR, Address, tell

MODEL_FAILED = "I could not answer: the model failed. Please ask again."
MODEL_SILENT = "I could not answer: the model said nothing. Please ask again."
_WORDS = {
    "model": MODEL_FAILED,
    "voice": "I could not say the answer: the voice failed. Please ask again.",
    "hearing": "I did not understand you: speech recognition failed. Please say it again.",
}
_KINDS = {"realtime_model_error": "model", "tts_error": "voice", "stt_error": "hearing"}

logger = logging.getLogger(__name__)


class FailureNotices:
    """Tells people that an answer failed: once for each answer, not for each attempt.

    Args:
        session: The session that answers.
        room: The room that gets the notices, on ``lk.transcription``.
        address: Returns the attributes that name the question of a speech, such as ``Questions.address``.
    """

    def __init__(self, session: AgentSession[Any], room: rtc.Room, *, address: Address | None = None) -> None:
        self._session, self._room, self._address = session, room, address
        self._source: Any = None  # the model of the last error
        self._telling: set[asyncio.Task[None]] = set()
        self.count = 0
        """Number of notices since the start."""

    async def __aenter__(self) -> FailureNotices:
        """Start to watch the session."""
        self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop watching."""
        await self.aclose()

    def start(self) -> None:
        """Start to watch the session, which may itself start later."""
        self._session.on("speech_created", self._on_speech)
        self._session.on("error", self._on_error)

    async def aclose(self) -> None:
        """Stop watching the session; safe to call twice."""
        self._session.off("speech_created", self._on_speech)
        self._session.off("error", self._on_error)
        await ended(*self._telling)

    def _on_speech(self, event: SpeechCreatedEvent) -> None:
        event.speech_handle.add_done_callback(self._on_done)

    def _on_done(self, speech: SpeechHandle) -> None:
        source, self._source = self._source, None
        if speech.interrupted:
            return
        address = {} if self._address is None else self._address(speech)
        error = speech.exception()
        if error is not None:
            line = f"{_name(source)} failed to answer: {explain(error, source)}"
            self._tell("model", MODEL_FAILED, line, address)
        elif address and not speech.chat_items and not isinstance(self._session.llm, llm.RealtimeModel):
            self._tell("model", MODEL_SILENT, f"{_name(self._session.llm)} said nothing: ask again", address)

    def _on_error(self, event: ErrorEvent) -> None:
        if isinstance(event.error, llm.LLMError):
            self._source = event.source  # the answer has failed when its speech ends with an error
        elif not event.error.recoverable and (kind := _KINDS.get(event.error.type)) is not None:
            reason = explain(event.error.error, event.source)
            self._tell(kind, _WORDS[kind], f"{_name(event.source)} failed: {reason}", {})

    def _tell(self, kind: str, words: str, line: str, address: Mapping[str, str]) -> None:
        self.count += 1
        logger.error(line)
        telling = tell(self._room, words, {ERROR: kind, **address})
        task = asyncio.create_task(telling, name="notice of a failure")
        self._telling.add(task)
        task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the notice of a failure could not be sent", exc_info=error)


def explain(error: BaseException, source: Any = None) -> str:
    """Return in a few words what a provider's error means and what to do; nothing of what was sent.

    Args:
        error: The error; the errors that caused it count, too.
        source: The model that raised it, to name the variable of its key.
    """
    errors = [each for each in _causes(error) if isinstance(each, APIError)]
    if not errors:
        return f"{type(error).__name__} in the agent; the lines above say where"
    # after several attempts LiveKit's error says only that they failed; its cause is the last attempt's error
    first = errors[-1]
    if isinstance(first, APIStatusError) and first.status_code > 0:
        return f"HTTP {first.status_code}: {_way_out(first.status_code, source)}"
    if isinstance(first, APITimeoutError):
        return "no answer in time: the provider is slow or can't be reached; ask again"
    if isinstance(first, APIConnectionError):
        return "the provider can't be reached: check the network and its address"
    return "the provider gave an error without a status; ask again"


def _way_out(status: int, source: Any) -> str:
    if status in (401, 403):
        return f"the provider refuses the key: check {_key_of(source)}"
    if status == 404:
        return "the provider does not know the model: check its name"
    if status == 408:
        return "the provider took too long; ask again"
    if status == 429:
        return "the provider's limit is reached: wait and ask again, or check the quota"
    if status >= 500:
        return "the provider is overloaded or down; ask again"
    return f"the provider refuses the request: check {_key_of(source)} and the model's name"


def _key_of(source: Any) -> str:
    """Return the environment variable of a provider's key, from the plugin of its model."""
    plugin = type(source).__module__.removeprefix("livekit.plugins.").split(".")[0]
    is_plugin = type(source).__module__.startswith("livekit.plugins.")
    return f"{plugin.upper()}_API_KEY" if is_plugin else "its key"


def _name(source: Any) -> str:
    names = [getattr(source, name, "") for name in ("provider", "model")]
    known = [name for name in names if isinstance(name, str) and name and name != "unknown"]
    return f"model {' '.join(known)}" if known else "the model"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__
