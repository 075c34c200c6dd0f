"""The video views of a room: follows who publishes what and keeps one source per view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from livekit import rtc

from .sources.track import TrackSource

_KINDS = {rtc.TrackSource.SOURCE_CAMERA: "camera", rtc.TrackSource.SOURCE_SCREENSHARE: "screen"}


class RoomViews:
    """Listens to a room and attaches each remote video track to the view it belongs to.

    Args:
        room: The room; events are handled on its loop.
        add: Called once with each new view's source.
    """

    def __init__(self, room: rtc.Room, *, add: Callable[[TrackSource], None]) -> None:
        self._room = room
        self._add = add
        self._views: dict[str, TrackSource] = {}
        self._attached: dict[str, TrackSource] = {}  # by track sid
        self._handlers: dict[Any, Callable[..., None]] = {
            "track_published": self._on_published,
            "track_subscribed": self._on_subscribed,
            "track_unsubscribed": self._on_unsubscribed,
            "track_muted": lambda _, publication: self._on_muted(publication, True),
            "track_unmuted": lambda _, publication: self._on_muted(publication, False),
            "participant_disconnected": self._on_left,
        }

    def start(self) -> None:
        """Listen, and take up the tracks that are there already."""
        for name, handler in self._handlers.items():
            self._room.on(name, handler)
        for participant in self._room.remote_participants.values():
            for publication in participant.track_publications.values():
                self._on_published(publication, participant)
                if publication.track is not None:
                    self._on_subscribed(publication.track, publication, participant)

    def stop(self) -> None:
        """Stop listening."""
        for name, handler in self._handlers.items():
            self._room.off(name, handler)

    def _on_published(self, publication: rtc.RemoteTrackPublication, participant: Any) -> None:
        if publication.kind == rtc.TrackKind.KIND_VIDEO and not publication.subscribed:
            publication.set_subscribed(True)

    def _on_subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if track.kind != rtc.TrackKind.KIND_VIDEO:
            return
        name = f"{_KINDS.get(publication.source, 'video')} of {participant.identity}"
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = TrackSource(name)
            self._add(view)
        self._attached = {sid: other for sid, other in self._attached.items() if other is not view}
        self._attached[publication.sid] = view
        view.attach(track, muted=publication.muted)

    def _on_unsubscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: Any
    ) -> None:
        view = self._attached.pop(publication.sid, None)
        if view is not None:
            view.detach("it is no longer published")

    def _on_muted(self, publication: rtc.TrackPublication, muted: bool) -> None:
        view = self._attached.get(publication.sid)
        if view is not None:
            view.set_muted(muted)

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        for name, view in self._views.items():
            if name.endswith(f" of {participant.identity}"):
                self._attached = {sid: other for sid, other in self._attached.items() if other is not view}
                view.detach(f"{participant.identity} left the room")
