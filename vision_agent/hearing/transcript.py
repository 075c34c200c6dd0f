"""What the agent says on ``lk.transcription``, and to whom: attributes of its text streams."""

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
"""Attribute of a stream that says why there is no answer: the kind of failure."""

Address = Callable[[SpeechHandle], Mapping[str, str]]
"""Returns the attributes that name the question of an answer; none if it is not known."""

logger = logging.getLogger(__name__)


def address_answers(session: AgentSession[Any], address: Address) -> bool:
    """Add the attributes of its question to each answer that a session streams to its room.

    Args:
        session: A session that was started in a room.
        address: Called at the beginning of each stream.

    Returns:
        Whether the session itself streams its answers to a room; an application's own output stays as it is.
    """
    return livekit_compat.set_answer_attributes(session, _OfCurrentSpeech(session, address))


async def tell(
    room: rtc.Room, words: str, attributes: Mapping[str, str], *, identities: Sequence[str] = ()
) -> None:
    """Send the room a text that does not come from a model.

    Args:
        room: The room.
        words: One or two sentences.
        attributes: Attributes of the stream, in addition to LiveKit's own.
        identities: Who gets the text; everybody if empty.
    """
    own = {
        ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID: f"SG_{uuid.uuid4().hex[:12]}",
        ATTRIBUTE_TRANSCRIPTION_FINAL: "true",
    }
    if not room.isconnected():
        return  # nobody can get it
    try:
        await room.local_participant.send_text(
            words,
            topic=TOPIC_TRANSCRIPTION,
            attributes={**own, **attributes},
            destination_identities=list(identities),
        )
    except ConnectionError as error:  # the recipient has left
        logger.info("a notice could not be sent", extra={"reason": type(error).__name__})


class _OfCurrentSpeech(Mapping[str, str]):
    """The attributes of the current speech of a session."""

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
