"""The video views of a room: follows the publications and keeps one source per view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livekit import rtc

from ..demand import Demand
from ..sources.track import TrackSource

_KINDS = {rtc.TrackSource.SOURCE_CAMERA: "camera", rtc.TrackSource.SOURCE_SCREENSHARE: "screen"}
_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT  # an agent's avatar is not a view of the user
KEPT_GONE = 4
"""Most views of participants who left that are kept, so that the agent can say so; the oldest go first."""


@dataclass(slots=True, eq=False)
class _RoomView:
    """One view and its participant."""

    source: TrackSource
    identity: str
    kind: str
    track_name: str
    """Of the track it shows, or last showed."""

    def shows_one_of(self, participant: rtc.RemoteParticipant) -> bool:
        """Return whether the view follows a track that this participant publishes now."""
        return any(self.source.follows(each) for each in participant.track_publications.values())


class RoomViews:
    """Listens to a room and assigns each remote video publication to its view.

    A participant's camera is one view, also after it is switched: a new track takes over the view of
    its kind whose track it replaces; the newest wins. Tracks are separate views only if a participant
    publishes them at the same time under different names, as a robot does with its cameras.

    Args:
        room: The room; events are handled on its loop.
        add: Called with each view's source, once between ``start`` and ``stop``.
        remove: Called with the source of a removed view.
    """

    def __init__(
        self, room: rtc.Room, *, add: Callable[[TrackSource], None], remove: Callable[[TrackSource], None]
    ) -> None:
        self._room = room
        self._add, self._remove = add, remove
        self._views: list[_RoomView] = []
        self._before: list[_RoomView] = []  # views of before ``stop``; they know when they unsubscribed
        self._left: list[_RoomView] = []  # of participants who left, the oldest first
        self._followed: dict[str, _RoomView] = {}  # by publication sid
        self._handlers: dict[Any, Callable[..., None]] = {
            "track_published": self._on_published,
            "track_unpublished": self._on_unpublished,
            "track_subscribed": self._on_subscribed,
            "track_unsubscribed": self._on_unsubscribed,
            "track_muted": lambda _, publication: self._on_muted(publication, True),
            "track_unmuted": lambda _, publication: self._on_muted(publication, False),
            "participant_connected": self._look_over,
            "participant_disconnected": self._on_left,
            "reconnected": self._on_reconnected,
        }

    def start(self) -> None:
        """Listen, and follow the tracks that are already published."""
        for name, handler in self._handlers.items():
            self._room.on(name, handler)
        self._on_reconnected()

    def stop(self) -> None:
        """Stop listening and unsubscribe: the room may live on, but its tracks cost nothing."""
        for name, handler in self._handlers.items():
            self._room.off(name, handler)
        if self._room.isconnected():
            for view in self._views:
                view.source.set_demand(Demand.OFF)
        self._before, self._views, self._left, self._followed = self._views, [], [], {}

    def _on_reconnected(self) -> None:
        for participant in self._room.remote_participants.values():
            self._look_over(participant)

    def _look_over(self, participant: rtc.RemoteParticipant) -> None:
        """Follow a participant's publications, the newest first, in views that show nothing."""
        for publication in reversed(list(participant.track_publications.values())):
            self._take_up(publication, participant, is_new=False)

    def _on_published(
        self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        self._take_up(publication, participant, is_new=True)

    def _take_up(
        self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant, *, is_new: bool
    ) -> None:
        if publication.kind != rtc.TrackKind.KIND_VIDEO or participant.kind == _AGENT:
            return
        followed = self._followed.get(publication.sid)
        if followed is not None and followed.source.follows(publication):
            return
        kind = _KINDS.get(publication.source, "video")
        view = self._view_for(kind, publication.name, participant)
        if not is_new and view.shows_one_of(participant):  # another track has replaced it
            if publication.subscribed:
                publication.set_subscribed(False)
            return
        self._followed = {sid: other for sid, other in self._followed.items() if other is not view}
        self._followed[publication.sid] = view
        view.track_name = publication.name
        if view in self._left:
            self._left.remove(view)
        view.source.published(publication)
        if publication.track is not None:
            view.source.subscribed(publication.track)
        if view not in self._views:
            self._views.append(view)
            self._add(view.source)

    def _view_for(self, kind: str, track_name: str, participant: rtc.RemoteParticipant) -> _RoomView:
        """Return the view a track belongs to; make it if needed."""
        whose = (participant.identity, kind)
        beside = [view for view in self._views if (view.identity, view.kind) == whose]
        taken = {view.source.name for view in self._views}
        before = [
            view
            for view in self._before
            if (view.identity, view.kind) == whose and view.source.name not in taken
        ]
        named = [view for view in [*beside, *before] if view.track_name == track_name]
        free = [view for view in beside if not view.shows_one_of(participant)]
        fitting = [*named, *free, *([] if track_name else beside)]
        if fitting:
            return fitting[0]
        name = f"{kind} of {participant.identity}"
        if name in taken:
            name = f"{name} ({track_name})"
        if name in taken:
            name = f"{name[:-1]}, {len(beside) + 1})"
        return _RoomView(
            TrackSource(name, owner=participant.identity), participant.identity, kind, track_name
        )

    def _on_unpublished(
        self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        view = self._followed.pop(publication.sid, None)
        if view is not None:
            view.source.unpublished("it is no longer published")
            self._look_over(participant)  # an older track of the same kind may still be published

    def _on_subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        self._take_up(publication, participant, is_new=False)
        view = self._followed.get(publication.sid)
        if view is not None:
            view.source.subscribed(track)

    def _on_unsubscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: Any
    ) -> None:
        view = self._followed.get(publication.sid)
        if view is not None:
            view.source.unsubscribed()

    def _on_muted(self, publication: rtc.TrackPublication, muted: bool) -> None:
        view = self._followed.get(publication.sid)
        if view is not None:
            view.source.set_muted(muted)

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        for view in self._views:
            if view.identity == participant.identity:
                self._followed = {sid: other for sid, other in self._followed.items() if other is not view}
                view.source.unpublished(f"{participant.identity} left the room")
                if view in self._left:
                    self._left.remove(view)
                self._left.append(view)
        while len(self._left) > KEPT_GONE:
            forgotten = self._left.pop(0)
            self._views.remove(forgotten)
            self._remove(forgotten.source)
