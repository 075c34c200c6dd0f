"""``Presence``: everything that an agent takes from the people in its room."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession

from .. import livekit_compat
from ..uploads import Uploads
from .link import Link
from .listening import Listening
from .notices import FailureNotices
from .questions import Questions

TYPING_TOPIC = "vision.typing"
"""A data packet on this topic, with any content, means that a person begins to type."""

logger = logging.getLogger(__name__)


class Presence:
    """Takes questions, typing and uploads from people who are heard, and tells them when an answer fails.

    Args:
        room: The room.
        session: A session that was started in this room.
        listening: Whom the agent listens to.
        uploads: Takes the pictures that people send; started and closed here.
        on_typing: Called when somebody who is heard begins to type.
        questions: Takes typed questions, if the caller opens and closes it. Without it we replace
            LiveKit's handler of typed text, unless the application has its own handler.
    """

    def __init__(
        self,
        room: rtc.Room,
        session: AgentSession[Any],
        *,
        listening: Listening,
        uploads: Uploads,
        on_typing: Callable[[], None],
        questions: Questions | None = None,
    ) -> None:
        self._room, self._session, self._listening = room, session, listening
        self._uploads, self._on_typing = uploads, on_typing
        self._questions = Questions(room, listening=listening) if questions is None else questions
        self._owns_questions = questions is None
        self._notices = FailureNotices(session, room, address=self._questions.address)
        self._link = Link(room, session)

    def start(self) -> None:
        """Start to take questions, typing and uploads."""
        self._room.on("data_received", self._on_data)
        self._uploads.start()
        self._notices.start()
        if not self._owns_questions or livekit_compat.takes_typed_text(self._session):
            self._questions.attach(self._session)
        if livekit_compat.chooses_participant(self._session):
            self._link.start()

    async def aclose(self) -> None:
        """Stop, and close what was opened here; safe to call twice."""
        self._room.off("data_received", self._on_data)
        self._link.close()
        if self._owns_questions:
            await self._questions.aclose()
        await self._notices.aclose()
        await self._uploads.aclose()
        logger.info("uploads are closed", extra=asdict(self._uploads.statistics))

    def spoken_by(self) -> str:
        """Return the identity of the person that a spoken session listens to, or an empty string."""
        if self._session.input.audio is None:
            return ""
        linked = self._linked()
        return "" if linked is None else linked.identity

    def may_send(self, identity: str) -> bool:
        """Return whether this participant may send pictures."""
        sender = self._room.remote_participants.get(identity)
        if sender is None:  # not announced yet: we know only the identity
            return self._listening.mode != "named" or identity in self._listening.identities
        linked = self._linked()
        return self._listening.hears(sender, linked=None if linked is None else linked.identity)

    def _linked(self) -> rtc.RemoteParticipant | None:
        try:
            return self._session.room_io.linked_participant
        except RuntimeError:  # the session is closing
            return None

    def _on_data(self, packet: rtc.DataPacket) -> None:
        is_known = packet.participant is None or self.may_send(packet.participant.identity)
        if packet.topic == TYPING_TOPIC and is_known:
            self._on_typing()
