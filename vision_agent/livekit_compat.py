"""Every non-public name of LiveKit that this package uses, in one place.

``tests/test_livekit_compat.py`` checks each of them against the installed version.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from livekit import rtc
from livekit.agents import AgentSession, llm
from livekit.agents.cli.log import NOISY_LOGGERS, ColoredFormatter, JsonFormatter
from livekit.agents.voice.agent_activity import ActivityClosedError, _OnEnterContextVar
from livekit.agents.voice.agent_session import SessionConnectOptions
from livekit.agents.voice.room_io._output import _ParticipantStreamTranscriptionOutput
from livekit.agents.voice.room_io.types import _default_text_input_cb
from livekit.agents.worker import ServerEnvOption

__all__ = [
    "NOISY_LOGGERS",
    "PRIVATE_FIELD_PREFIX",
    "ActivityClosedError",
    "ColoredFormatter",
    "JsonFormatter",
    "ServerEnvOption",
    "chooses_participant",
    "claim_user_turn",
    "lasting_connect_options",
    "openai_conversation",
    "session_task",
    "set_answer_attributes",
    "takes_typed_text",
    "text_stream_handler",
]

Result = TypeVar("Result")

PRIVATE_FIELD_PREFIX = "lk.pii."
"""Prefix of the fields in LiveKit's log records that contain what people and the agent said."""
_OPENAI_MODULES = ("livekit.agents.llm._realtime.openai", "livekit.plugins.openai.realtime")
"""The modules that define OpenAI's session class: in livekit-agents 1.8, and in the plugin before it."""
_MANY_ERRORS = 1_000_000_000
_OUTPUTS = "_ParticipantTranscriptionOutput__outputs"

logger = logging.getLogger(__name__)


def lasting_connect_options() -> SessionConnectOptions:
    """Return options with which a session stays open after any number of failed answers in a row."""
    return SessionConnectOptions(max_unrecoverable_errors=_MANY_ERRORS)


def claim_user_turn(session: AgentSession[Any]) -> AbstractAsyncContextManager[None]:
    """Claim the turn for a person, as LiveKit's own handler of typed text does."""
    return session._claim_user_turn()


def text_stream_handler(room: rtc.Room, topic: str) -> Callable[[rtc.TextStreamReader, str], None] | None:
    """Return the current handler of a topic's text streams, if there is one."""
    return room._text_stream_handlers.get(topic)


def session_task(coroutine: Coroutine[Any, Any, Result], *, name: str) -> asyncio.Task[Result]:
    """Create a task that asks a session for answers.

    A task created in an agent's ``on_enter`` inherits that context. LiveKit would then treat all its
    answers as the agent's greeting, and leave out the tools that a greeting does not use.
    """
    context = contextvars.copy_context()
    context.run(_OnEnterContextVar.set, None)  # type: ignore[arg-type]  # LiveKit reads it with default None
    return context.run(asyncio.create_task, coroutine, name=name)


def set_answer_attributes(session: AgentSession[Any], attributes: Mapping[str, str]) -> bool:
    """Add attributes to each answer that a session's own output streams to its room.

    Args:
        session: A started session.
        attributes: LiveKit reads it at the beginning of each stream.

    Returns:
        Whether the session streams its answers to a room itself.
    """
    try:
        room_io = session.room_io
    except RuntimeError:  # it is not in a room
        return False
    if room_io._agent_tr_output is None:
        return False
    outputs = [
        each
        for each in getattr(room_io._agent_tr_output, _OUTPUTS, ())
        if isinstance(each, _ParticipantStreamTranscriptionOutput)
    ]
    for output in outputs:
        output._additional_attributes = attributes  # type: ignore[assignment]  # LiveKit only reads it
    if not outputs:
        logger.warning("answers name no question: livekit-agents has changed; install version 1.8.9")
    if room_io.room.isconnected():
        # otherwise it streams only after LiveKit has linked a person, which may never happen
        room_io._agent_tr_output.set_participant(room_io.room.local_participant.identity)
    return bool(outputs)


def takes_typed_text(session: AgentSession[Any]) -> bool:
    """Return whether LiveKit's own handler answers typed text for this session."""
    try:
        return session.room_io._text_input_cb is _default_text_input_cb
    except RuntimeError:  # it is not in a room
        return False


def chooses_participant(session: AgentSession[Any]) -> bool:
    """Return whether LiveKit chooses the participant of a session, because the application names none."""
    try:
        options = session.room_io._options
    except RuntimeError:  # it is not in a room
        return False
    return not options.participant_identity


def openai_conversation(session: llm.RealtimeSession[Any]) -> Any | None:
    """Return the realtime session that accepts OpenAI's client events, or None if it is of another kind.

    For a fallback adapter this is the session in use.
    """
    active = getattr(session, "_active", session)  # of RealtimeModelFallbackAdapter
    modules = [each.__module__ for each in type(active).__mro__]
    is_openai = any(module.startswith(_OPENAI_MODULES) for module in modules)
    return active if is_openai and hasattr(active, "send_event") else None
