"""All views of a room or of one source: what is in view now?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from livekit import rtc

from ..options import VisionOptions
from ..sources import FrameSource, open_source
from ..sources.track import TrackSource
from ..turns.context import View
from .eye import Eye
from .room import RoomViews


class Vision:
    """The eyes: an async context manager over the views of one source or of a room.

    Opened with ``async with``, or by the ``VisionAgent`` that uses it; what was closed can be opened again.

    Args:
        source: A source, or a URI for ``open_source``; None for the views of a room.
        options: How pictures are chosen and made.

    Raises:
        ConfigError: The URI can't be used.
    """

    def __init__(self, *, source: FrameSource | str | None, options: VisionOptions | None = None) -> None:
        self.options = options or VisionOptions()
        self.room: rtc.Room | None = None
        self._source = open_source(source) if isinstance(source, str) else source
        self._room_views: RoomViews | None = None
        self._eyes: list[Eye] = []
        self._closing: set[asyncio.Task[None]] = set()  # eyes of views that are forgotten
        self._holds = 0
        self._executor: ThreadPoolExecutor | None = None  # while it is open

    @classmethod
    def for_room(cls, room: rtc.Room, *, options: VisionOptions | None = None) -> Vision:
        """Watch the cameras and screens of a room's remote participants, as they come and go."""
        vision = cls(source=None, options=options)
        vision.room = room
        vision._room_views = RoomViews(room, add=vision._add, remove=vision._remove)
        return vision

    async def __aenter__(self) -> Vision:
        """Begin to watch."""
        self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close everything."""
        await self.aclose()

    def open(self) -> None:
        """Begin to watch, on the running event loop.

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
        """Stop watching and let go of every source; may be called twice."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        eyes, self._eyes = self._eyes, []
        if self._room_views is not None:
            self._room_views.stop()
        await asyncio.gather(*(eye.aclose() for eye in eyes), *self._closing)
        executor.shutdown(wait=False, cancel_futures=True)

    async def opened(self, *, within_s: float = 15.0) -> None:
        """Wait until every view has given its first picture, so that the first question finds one.

        Raises:
            SourceError: A source can't be opened, or gave none in time.
        """
        await asyncio.gather(*(eye.opened(within_s=within_s) for eye in self._eyes))

    @property
    def eyes(self) -> Sequence[Eye]:
        """One eye for each view, in the order the views came; none while it is closed."""
        return tuple(self._eyes)

    def hold(self) -> None:
        """Say that a question is coming, as when the user begins to speak.

        Every view goes to full size, and its picture is kept encoded and fresh, so that at the
        turn's end nothing is left to do but attach it.
        """
        self._holds += 1
        for eye in self._eyes:
            eye.hold()

    def release(self) -> None:
        """Take back one ``hold``; the views stay up for the grace time."""
        if self._holds:
            self._holds -= 1
            for eye in self._eyes:
                eye.release()

    def touch(self) -> None:
        """Say that a question may come: every view goes to full size for the grace time."""
        for eye in self._eyes:
            eye.watcher.touch()

    async def look(self) -> list[View]:
        """Return what each view shows now: the newest good picture, or the reason why there is none.

        Views whose track is gone are told of only where no other view shows a picture.
        """
        views = list(await asyncio.gather(*(eye.look() for eye in self._eyes)))
        if any(view.image is not None for view in views):
            sources = [eye.source for eye in self._eyes]
            gone = {each.name for each in sources if isinstance(each, TrackSource) and each.gone}
            views = [view for view in views if view.image is not None or view.name not in gone]
        return views

    def _add(self, source: FrameSource) -> None:
        assert self._executor is not None
        eye = Eye(source, options=self.options, executor=self._executor)
        self._eyes.append(eye)
        for _ in range(self._holds):
            eye.hold()
        eye.start()

    def _remove(self, source: FrameSource) -> None:
        for eye in [eye for eye in self._eyes if eye.source is source]:
            self._eyes.remove(eye)
            closing = asyncio.create_task(eye.aclose(), name=f"close {source.name}")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
