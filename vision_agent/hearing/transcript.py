"""What the agent says on ``lk.transcription``, and to whom: attributes on its text streams."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.types import (
    ATTRIBUTE_TRANSCRIPTION_FINAL,
    ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID,
    TOPIC_TRANSCRIPTION,
)
from livekit.agents.voice import SpeechHandle

from .. import livekit_compat

ASKED_BY = "vision.asked_by"
"""Attribute of an answer: identity of the person who asked."""
QUESTION = "vision.question"
"""Attribute of an answer: id of the question's text stream on ``lk.chat``."""
ERROR = "vision.error"
"""Attribute of a stream that holds no answer but says why there is none: the kind of failure."""

Address = Callable[[SpeechHandle], Mapping[str, str]]
"""Gives the attributes that say whose an answer is; none where that is not known."""

logger = logging.getLogger(__name__)


def address_answers(session: AgentSession[Any], address: Address) -> bool:
    """Let each answer that a session streams to its room say whose it is.

    Args:
        session: A session that was started in a room.
        address: Asked at the beginning of each stream.

    Returns:
        Whether the session streams its answers to a room itself; a user's own output is left alone.
    """
    return livekit_compat.set_answer_attributes(session, _OfCurrentSpeech(session, address))


async def tell(
    room: rtc.Room, words: str, attributes: Mapping[str, str], *, identities: Sequence[str] = ()
) -> None:
    """Say something in the room that no model said.

    Args:
        room: The room.
        words: One or two sentences.
        attributes: Of the stream, beside LiveKit's own.
        identities: Who gets it; everybody if empty.
    """
    own = {
        ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID: f"SG_{uuid.uuid4().hex[:12]}",
        ATTRIBUTE_TRANSCRIPTION_FINAL: "true",
    }
    if not room.isconnected():
        return  # and nobody is there to be told
    try:
        await room.local_participant.send_text(
            words,
            topic=TOPIC_TRANSCRIPTION,
            attributes={**own, **attributes},
            destination_identities=list(identities),
        )
    except ConnectionError as error:  # who was to be told has left
        logger.info("a notice could not be sent", extra={"reason": type(error).__name__})


class _OfCurrentSpeech(Mapping[str, str]):
    """The attributes of the speech that a session gives out now."""

    def __init__(self, session: AgentSession[Any], address: Address) -> None:
        self._session, self._address = session, address

    def _now(self) -> Mapping[str, str]:
        speech = self._session.current_speech
        return {} if speech is None else self._address(speech)

    def __getitem__(self, name: str) -> str:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())
