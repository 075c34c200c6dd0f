"""All views of a room or of one source: what is in view now?"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from livekit import rtc

from ..errors import ConfigError
from ..imaging.crop import Region, check_box
from ..options import VisionOptions
from ..record.ledger import Ledger
from ..record.sighting import Purpose, Sighting
from ..record.statistics import Statistics
from ..sources import FrameSource, open_source
from ..sources.track import TrackSource
from .choice import AllViews, ViewPolicy, ViewState
from .eye import Eye
from .filters import EVERY_VIEW, Filters, filters_of
from .lens import Lens
from .room import RoomViews
from .tally import tally

logger = logging.getLogger(__name__)

ALL = "*"  # key for all views, in the count of holds


class Vision:
    """The eyes: an async context manager over the views of one source or of a room.

    ``async with`` opens it, or the ``VisionAgent`` that uses it. After it was closed, it can be opened again.

    Args:
        source: A source, or a URI for ``open_source``; None for the views of a room.
        options: How pictures are chosen and made.
        filters: Filters for each picture before it leaves, by the view's name; ``*`` is for all views.
        policy: Chooses the views of a turn; None: all, up to 8.

    Raises:
        ConfigError: The URI can't be used, or a filter is for another view than that of the source.
    """

    def __init__(
        self,
        *,
        source: FrameSource | str | None,
        options: VisionOptions | None = None,
        filters: Filters | None = None,
        policy: ViewPolicy | None = None,
    ) -> None:
        self.options = options or VisionOptions()
        self.room: rtc.Room | None = None
        self.ledger = Ledger(max_bytes=self.options.max_held_bytes)
        """What was seen, and in which request it went out."""
        self._filters = dict(filters or {})
        self._policy = policy or AllViews()
        self._source = open_source(source) if isinstance(source, str) else source
        if self._source is not None:
            _check_names(self._filters, self._source.name)
        self._room_views: RoomViews | None = None
        self._eyes: list[Eye] = []
        self._closing: set[asyncio.Task[None]] = set()  # eyes of removed views
        self._holds: Counter[str] = Counter()  # by the view's name
        self._executor: ThreadPoolExecutor | None = None  # while it is open

    @classmethod
    def for_room(
        cls,
        room: rtc.Room,
        *,
        options: VisionOptions | None = None,
        filters: Filters | None = None,
        policy: ViewPolicy | None = None,
    ) -> Vision:
        """Watch the cameras and screens of a room's remote participants, whenever they join or leave."""
        vision = cls(source=None, options=options, filters=filters, policy=policy)
        vision.room = room
        vision._room_views = RoomViews(room, add=vision._add, remove=vision._remove)
        return vision

    async def __aenter__(self) -> Vision:
        """Start watching."""
        self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close everything."""
        await self.aclose()

    def open(self) -> None:
        """Start watching, on the running event loop.

        Raises:
            RuntimeError: It is open already.
        """
        if self._executor is not None:
            raise RuntimeError("this Vision is open already: close it first, or make another one")
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vision-encode")
        if self._source is not None:
            self._add(self._source)
        if self._room_views is not None:
            self._room_views.start()

    @property
    def is_open(self) -> bool:
        """Whether it watches now."""
        return self._executor is not None

    async def aclose(self) -> None:
        """Stop watching and close every source; safe to call twice."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        eyes, self._eyes = self._eyes, []
        if self._room_views is not None:
            self._room_views.stop()
        try:
            await asyncio.gather(*(eye.aclose() for eye in eyes), *self._closing)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    async def opened(self, *, within_s: float = 15.0) -> None:
        """Wait until every view has given its first frame, so that the first question finds one.

        Raises:
            SourceError: A source can't be opened, or gave no frame in time.
        """
        await asyncio.gather(*(eye.opened(within_s=within_s) for eye in self._eyes))

    @property
    def eyes(self) -> Sequence[Eye]:
        """One eye for each view, in the order in which the views were added; empty while closed."""
        return tuple(self._eyes)

    def hold(self, views: Collection[str] | None = None) -> None:
        """Note that a question is coming, for example because the user begins to speak.

        The views go to full size, and each keeps a fresh encoded picture, so that at the end of the
        turn the pictures only need to be attached.

        Args:
            views: Names of the views; None: all, also those added later.
        """
        for name in _names(views):
            self._holds[name] += 1
            for eye in self._of(name):
                eye.hold()

    def release(self, views: Collection[str] | None = None) -> None:
        """Undo one ``hold`` of the same views; they stay at full size for the grace time."""
        for name in _names(views):
            if self._holds[name]:
                self._holds[name] -= 1
                for eye in self._of(name):
                    eye.release()

    def touch(self, views: Collection[str] | None = None) -> None:
        """Note that a question may come: the views go to full size for the grace time."""
        for name in _names(views):
            for eye in self._of(name):
                eye.watcher.touch()

    async def look(
        self,
        views: Collection[str] | None = None,
        *,
        asked_by: str = "",
        purpose: Purpose = "turn",
        crop: Region | None = None,
        limit: int | None = None,
    ) -> list[Sighting]:
        """Return what each view shows now: the newest good picture, or the reason why there is none.

        A view that is known to show nothing causes no wait. A view whose track is no longer published
        is in the result only if no other view shows a picture.

        Args:
            views: Names of the views to look at; None: the policy chooses.
            asked_by: Identity of the person who asks, for the policy.
            purpose: What the pictures are for.
            crop: The part of the picture to show: left, top, right, bottom in shares of its width and
                height, 0 to 1; None: all of it.
            limit: Most pictures; None: as many as the policy chooses.

        Returns:
            The sightings, noted in the ledger, in the order in which the views were added.

        Raises:
            ImageError: The crop is empty or outside the picture.
        """
        if crop is not None:
            check_box(crop, "crop")
        problems = {eye.source.name: eye.watcher.known_problem() for eye in self._eyes}
        chosen = self._chosen(problems, asked_by) if views is None else tuple(dict.fromkeys(views))
        showing = [name for name in chosen if problems.get(name, "") is None]
        wanted = {*showing[:limit], *(name for name in chosen if problems.get(name) is not None)}
        found = [
            self._begin(eye, problems[eye.source.name], eye.source.name in wanted, purpose, crop)
            for eye in self._eyes
            if views is None or eye.source.name in chosen
        ]
        found += [self._unknown(name, purpose) for name in chosen if name not in problems]
        waits = [each for each in found if not isinstance(each, Sighting)]
        later = iter(
            await asyncio.gather(*waits) if waits else ()
        )  # a task each costs as much as all the rest
        seen = [each if isinstance(each, Sighting) else next(later) for each in found]
        if views is None and any(each.image is not None for each in seen):
            sources = [eye.source for eye in self._eyes]
            gone = {each.name for each in sources if isinstance(each, TrackSource) and each.gone}
            seen = [each for each in seen if each.image is not None or each.view not in gone]
        return [self.ledger.note(each) for each in seen]

    def lens(self, *views: str) -> Lens:
        """Return the lens that makes the pictures of a view, with the filters of all these names."""
        return Lens(
            filters=filters_of(self._filters, *views),
            max_side_px=self.options.max_side_px,
            quality=self.options.quality,
        )

    def statistics(self) -> Statistics:
        """Return the counts of every view and of the ledger."""
        views = {eye.source.name: tally(eye) for eye in self._eyes}
        return Statistics(views=views, ledger=self.ledger.statistics())

    def _chosen(self, problems: Mapping[str, str | None], asked_by: str) -> Collection[str]:
        states = [
            ViewState(name=eye.source.name, owner=eye.owner, problem=problems[eye.source.name])
            for eye in self._eyes
        ]
        return [name for name in self._policy.choose(states, asked_by=asked_by) if name in problems]

    def _begin(
        self, eye: Eye, problem: str | None, wanted: bool, purpose: Purpose, crop: Region | None
    ) -> Sighting | Coroutine[Any, Any, Sighting]:
        """Return what is known of a view already, else a look at it."""
        if not wanted:
            return eye.nothing("not chosen: no more pictures fit into this request", purpose=purpose)
        if problem is not None:
            eye.watcher.touch()
            return eye.nothing(problem, purpose=purpose)
        ready = eye.prepared(purpose=purpose) if crop is None else None
        return eye.look(purpose=purpose, crop=crop) if ready is None else ready

    def _unknown(self, name: str, purpose: Purpose) -> Sighting:
        there = ", ".join(repr(each.source.name) for each in self._eyes) or "none at all"
        problem = f"there is no such view; there is {there}"
        return Sighting(view=name, purpose=purpose, problem=problem, chosen="none")

    def _of(self, name: str) -> list[Eye]:
        return [eye for eye in self._eyes if name in (ALL, eye.source.name)]

    def _add(self, source: FrameSource) -> None:
        assert self._executor is not None
        lens = self.lens(source.name)
        owner = source.owner if isinstance(source, TrackSource) else ""
        eye = Eye(source, options=self.options, lens=lens, executor=self._executor, owner=owner)
        self._eyes.append(eye)
        for _ in range(self._holds[ALL] + self._holds[source.name]):
            eye.hold()
        eye.start()

    def _remove(self, source: FrameSource) -> None:
        for eye in [eye for eye in self._eyes if eye.source is source]:
            self._eyes.remove(eye)
            closing = asyncio.create_task(eye.aclose(), name=f"close {source.name}")
            self._closing.add(closing)
            closing.add_done_callback(self._closed)

    def _closed(self, closing: asyncio.Task[None]) -> None:
        self._closing.discard(closing)
        if not closing.cancelled() and (error := closing.exception()) is not None:
            logger.error("a forgotten view did not close cleanly", exc_info=error)


def _check_names(filters: Filters, view: str) -> None:
    for name in filters:
        if name not in (EVERY_VIEW, view):
            raise ConfigError(f"filters for {name!r}: the source's view is {view!r}; * is for all views")


def _names(views: Collection[str] | None) -> Collection[str]:
    return (ALL,) if views is None else dict.fromkeys(views)
