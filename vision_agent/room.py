"""The video views of a room: follows who publishes what and keeps one source per view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from livekit import rtc

from .demand import Demand
from .sources.track import TrackSource

_KINDS = {rtc.TrackSource.SOURCE_CAMERA: "camera", rtc.TrackSource.SOURCE_SCREENSHARE: "screen"}
_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT  # an avatar is not what the user shows


class RoomViews:
    """Listens to a room and hands each remote video publication to the view it belongs to.

    Args:
        room: The room; events are handled on its loop.
        add: Called with each view's source, once from ``start`` to ``stop``.
    """

    def __init__(self, room: rtc.Room, *, add: Callable[[TrackSource], None]) -> None:
        self._room = room
        self._add = add
        self._views: dict[str, TrackSource] = {}
        self._before: dict[str, TrackSource] = {}  # views that were stopped; they know when they unsubscribed
        self._followed: dict[str, TrackSource] = {}  # by publication sid
        self._handlers: dict[Any, Callable[..., None]] = {
            "track_published": self._on_published,
            "track_unpublished": self._on_unpublished,
            "track_subscribed": self._on_subscribed,
            "track_unsubscribed": self._on_unsubscribed,
            "track_muted": lambda _, publication: self._on_muted(publication, True),
            "track_unmuted": lambda _, publication: self._on_muted(publication, False),
            "participant_connected": self._on_joined,
            "participant_disconnected": self._on_left,
            "reconnected": self._on_reconnected,
        }

    def start(self) -> None:
        """Listen, and take up the tracks that are there already."""
        for name, handler in self._handlers.items():
            self._room.on(name, handler)
        self._on_reconnected()

    def stop(self) -> None:
        """Stop listening; in a room that lives on, the tracks are paid for no longer."""
        for name, handler in self._handlers.items():
            self._room.off(name, handler)
        if self._room.isconnected():
            for view in self._views.values():
                view.set_demand(Demand.OFF)
        self._before, self._views, self._followed = self._views, {}, {}

    def _on_reconnected(self) -> None:
        for participant in self._room.remote_participants.values():
            self._on_joined(participant)

    def _on_joined(self, participant: rtc.RemoteParticipant) -> None:
        for publication in participant.track_publications.values():
            self._on_published(publication, participant)

    def _on_published(
        self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if publication.kind != rtc.TrackKind.KIND_VIDEO or participant.kind == _AGENT:
            return
        followed = self._followed.get(publication.sid)
        if followed is not None and followed.follows(publication):
            return
        name = f"{_KINDS.get(publication.source, 'video')} of {participant.identity}"
        view = self._views.get(name)
        new = view is None
        if view is None:
            view = self._before.pop(name) if name in self._before else TrackSource(name)
            self._views[name] = view
        self._followed = {sid: other for sid, other in self._followed.items() if other is not view}
        self._followed[publication.sid] = view
        view.published(publication)
        if publication.track is not None:
            view.subscribed(publication.track)
        if new:
            self._add(view)

    def _on_unpublished(
        self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        view = self._followed.pop(publication.sid, None)
        if view is not None:
            view.unpublished("it is no longer published")
            self._on_joined(participant)  # an older track of the same kind may still be there

    def _on_subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        self._on_published(publication, participant)
        view = self._followed.get(publication.sid)
        if view is not None:
            view.subscribed(track)

    def _on_unsubscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: Any
    ) -> None:
        view = self._followed.get(publication.sid)
        if view is not None:
            view.unsubscribed()

    def _on_muted(self, publication: rtc.TrackPublication, muted: bool) -> None:
        view = self._followed.get(publication.sid)
        if view is not None:
            view.set_muted(muted)

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        for name, view in self._views.items():
            if name.endswith(f" of {participant.identity}"):
                self._followed = {sid: other for sid, other in self._followed.items() if other is not view}
                view.unpublished(f"{participant.identity} left the room")
