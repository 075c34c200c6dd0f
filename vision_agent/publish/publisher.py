"""The publisher: a source on one side, a room on the other; each recovers on its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..backoff import Backoff
from ..errors import ServerError
from ..sources import FrameSource
from ..views.filters import PictureFilter
from ..views.lens import Lens
from .access import Access, Refused
from .counts import PublishCounts
from .feed import Feed
from .session import Session

logger = logging.getLogger(__name__)

REJOIN_FIRST_S, REJOIN_MAX_S, JITTER = 0.5, 30.0, 0.5
FLOW_S, MOVE_S = 10.0, 30.0
"""Pictures flow if the source gave one and the network sent one within these times, in seconds."""
TRY_S = 90.0
"""A lost source or room counts as recovering if the last attempt is not older than this, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishState:
    """The state of a publisher at one moment."""

    source: str
    """Name of the view."""
    room: str
    """Name of the room, or empty before the first join."""
    identity: str
    """Our identity in the room."""
    route: str | None
    """``passthrough``, ``encoded``, or None while it is unknown."""
    size_wh: tuple[int, int] | None
    """Width and height in pixels, once known."""
    published: bool
    """Whether the track is in the room."""
    watched: bool
    """Whether anybody receives it, as far as the server says."""
    problem: str | None
    """Why pictures don't reach the room, or None."""
    flows: bool
    """Whether pictures flow, or the source or the room is being tried again."""
    counts: PublishCounts = field(compare=False)
    """Counts since the start."""


class Publisher:
    """Publishes a source until it ends or the server refuses us.

    Args:
        source: What to publish; closed at the end.
        access: The way into the room.
        name: The track's name.
        encode: Let the SDK encode even a stream that could pass through.
        filters: Applied to each picture, in this order; with filters every picture is decoded and encoded.
        on_change: Called when the state changed.
    """

    def __init__(
        self,
        source: FrameSource,
        access: Access,
        *,
        name: str = "camera",
        encode: bool = False,
        filters: Sequence[PictureFilter] = (),
        on_change: Callable[[PublishState], None] = lambda state: None,
    ) -> None:
        self.counts = PublishCounts()
        self._feed = Feed(source, counts=self.counts, encode=encode, lens=Lens(filters=filters))
        self._access, self._name = access, name
        self._session: Session | None = None
        self._joined_s = 0.0  # when joining was last tried
        self._lost: str | None = None
        self._room = self._identity = ""
        self._on_change = on_change
        self._told: PublishState | None = None

    @property
    def state(self) -> PublishState:
        """The current state."""
        session, feed, now_s = self._session, self._feed, time.monotonic()
        if session is not None and session.room_name:
            self._room, self._identity = session.room_name, session.identity
        published = session is not None and session.published
        problem = feed.failure or self._lost
        if problem is None and session is not None and session.reconnecting:
            problem = "the connection to the server is lost, the SDK gets it back"
        if problem is None and session is not None:
            problem = session.fault
        return PublishState(
            source=feed.source.name,
            room=self._room,
            identity=self._identity,
            route=feed.route,
            size_wh=feed.size_wh,
            published=published,
            watched=session.watched if session is not None else False,
            problem=problem,
            flows=self._source_flows(now_s) and self._room_flows(now_s),
            counts=self.counts,
        )

    @property
    def why_encoded(self) -> str | None:
        """Why a stream that one expects to pass through does not, or None."""
        return self._feed.why_encoded

    def _source_flows(self, now_s: float) -> bool:
        feed = self._feed
        is_flowing = now_s - feed.sign_s(now_s) <= FLOW_S
        is_opening = feed.route is None or feed.failure is not None
        return is_flowing or (is_opening and now_s - feed.tried_s <= TRY_S)

    def _room_flows(self, now_s: float) -> bool:
        session = self._session
        if session is None or not session.published:
            return now_s - self._joined_s <= TRY_S
        return session.reconnecting or self._feed.failure is not None or now_s - session.moved_s <= MOVE_S

    async def run(self) -> None:
        """Publish until a recording has ended; a live source has no end.

        Raises:
            SourceError: The source gave nothing at the start.
            ServerError: The room can't be joined at the start, or the server refuses us.
        """
        tasks = [
            asyncio.create_task(self._feed.run(), name="publish: source"),
            asyncio.create_task(self._stay(), name="publish: room"),
            asyncio.create_task(self._tell_changes(), name="publish: changes"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in reversed(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._feed.aclose()
        for task in done:
            task.result()

    async def _stay(self) -> None:
        """Join the room, and join it again whenever the connection is lost."""
        rejoin = Backoff(REJOIN_FIRST_S, REJOIN_MAX_S, jitter=JITTER)
        was_in = False
        while True:
            self._joined_s = time.monotonic()
            session = self._session = Session(
                self._access, self._feed, counts=self.counts, name=self._name, tell=self._note(rejoin)
            )
            try:
                await session.run()
            except Refused:
                raise
            except ServerError as error:
                was_in = was_in or bool(session.identity)
                if not was_in:
                    raise
                self._lost = f"{error}; joining again"
                logger.warning("room lost, joining again")
            self._feed.changed.set()
            await asyncio.sleep(rejoin.next_s())

    def _note(self, rejoin: Backoff) -> Callable[[], None]:
        def note() -> None:
            session = self._session
            if session is not None and session.published:
                if self._lost is not None:
                    self.counts.reconnects += 1
                self._lost = None
                rejoin.reset()
            self._feed.changed.set()

        return note

    async def _tell_changes(self) -> None:
        while True:
            await self._feed.changed.wait()
            self._feed.changed.clear()
            state = self.state
            if state != self._told:
                self._told = state
                self._on_change(state)
