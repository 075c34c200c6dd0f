"""``Link``: which person a session is linked to, if it listens to one person."""

from __future__ import annotations

from typing import Any

from livekit import rtc
from livekit.agents import AgentSession, CloseEvent

from .listening import is_person


class Link:
    """Keeps a session linked to a person, never to a device; when the person has left, to the next one.

    LiveKit links the first participant, and after that one has left, it waits for them to return. ``Link``
    stops when the session closes.

    Args:
        room: The session's room.
        session: A session that was started in this room.
    """

    def __init__(self, room: rtc.Room, session: AgentSession[Any]) -> None:
        self._room, self._session = room, session
        self._linked: str | None = None

    def start(self) -> None:
        """Link a person now, and again whenever somebody joins or leaves."""
        self._room.on("participant_connected", self._on_change)
        self._room.on("participant_disconnected", self._on_change)
        self._session.on("close", self._on_close)
        self._update()

    def close(self) -> None:
        """Stop, and leave the link as it is; safe to call twice."""
        self._room.off("participant_connected", self._on_change)
        self._room.off("participant_disconnected", self._on_change)
        self._session.off("close", self._on_close)

    def _on_change(self, participant: rtc.RemoteParticipant) -> None:
        self._update()

    def _on_close(self, event: CloseEvent) -> None:
        self.close()  # the session has no link any more

    def _update(self) -> None:
        room_io, present = self._session.room_io, self._room.remote_participants
        linked = room_io.linked_participant
        if linked is None or linked.identity not in present or not is_person(linked):
            person = next((each for each in present.values() if is_person(each)), None)
            if person is not None:
                room_io.set_participant(person.identity)
            # before the first link, unset_participant would end LiveKit's wait for a participant
            elif linked is not None or self._linked is not None:
                room_io.unset_participant()
        linked = room_io.linked_participant
        self._linked = None if linked is None else linked.identity
