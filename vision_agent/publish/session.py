"""One stay in a room: joins, publishes a track, and monitors it until the room is gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from livekit import rtc

from ..errors import ImageError, ServerError
from ..views.filters import FilterFailed
from ..waiting import either, within
from .access import Access, Refused, farewell
from .counts import PublishCounts
from .feed import Feed
from .tracks import ENCODED, AnyTrack, EncodedTrack, PictureTrack

logger = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 15.0
PUBLISH_TIMEOUT_S = 15.0
LEAVE_TIMEOUT_S = 3.0
LOOK_EVERY_S = 0.5
"""How often we read the track's statistics, in seconds: whether anybody watches, and what was sent."""


class Session:
    """Joins a room once and publishes what the feed gives.

    Args:
        access: The way into the room.
        feed: What to publish, through its lens.
        counts: The counts to update.
        name: The track's name.
        tell: Called when the state changed.
    """

    def __init__(
        self, access: Access, feed: Feed, *, counts: PublishCounts, name: str, tell: Callable[[], None]
    ) -> None:
        self._access, self._feed, self._counts, self._name, self._tell = access, feed, counts, name, tell
        self._room = rtc.Room()
        self._gone = asyncio.Event()
        self._reason: Any = rtc.DisconnectReason.UNKNOWN_REASON
        self._track: AnyTrack | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publish")
        self._wire: dict[str, tuple[int, int]] = {}  # bytes and pictures by stream
        self.published = False
        """Whether the track is in the room."""
        self.reconnecting = False
        """Whether the SDK is trying to restore a lost connection."""
        self.fault: str | None = None
        """If a filter failed: why the newest picture was not sent; otherwise None."""
        self.watched = True
        """Whether anybody receives the track, as far as the server says."""
        self.moved_s = 0.0
        """When pictures last went out, or nobody needed them, in seconds of ``time.monotonic()``."""
        self.room_name = self.identity = ""

    async def run(self) -> None:
        """Join, publish, and stay until the room is gone.

        Raises:
            Refused: The server refuses us.
            ServerError: The room can't be joined, or is gone.
        """
        for event, handler in (
            ("disconnected", self._on_disconnected),
            ("reconnecting", self._on_reconnecting),
            ("reconnected", self._on_reconnected),
            ("local_track_subscribed", self._on_subscribed),
        ):
            self._room.on(event, handler)  # type: ignore[arg-type]  # the SDK's literal type of its events
        try:
            await self._join()
            while not self._gone.is_set():
                await self._publish_while_route_stays()
            raise farewell(self._reason, self.identity)
        finally:
            await self._leave()

    async def _join(self) -> None:
        options = rtc.RoomOptions(auto_subscribe=False, dynacast=True, connect_timeout=5.0)
        try:
            await within(JOIN_TIMEOUT_S, self._room.connect(self._access.url, self._access.ticket(), options))
        except rtc.ConnectError as error:
            raise self._access.explain(error) from None  # the text of its cause has the token
        except asyncio.TimeoutError:
            raise self._access.explain(rtc.ConnectError("timed out")) from None
        me = self._room.local_participant
        self.room_name, self.identity = self._room.name, me.identity
        sources = me.permissions.can_publish_sources
        if not me.permissions.can_publish or (sources and rtc.TrackSource.SOURCE_CAMERA not in sources):
            way_out = "make one with canPublish, and camera among its canPublishSources"
            raise Refused(f"{self._access.shown}: the token is not for publishing a camera: {way_out}")

    async def _publish_while_route_stays(self) -> None:
        route = await self._until_route_known()
        if route is None:
            return
        track = self._track = self._make(route)
        publishing = self._room.local_participant.publish_track(track.track, track.options)
        try:
            publication = await within(PUBLISH_TIMEOUT_S, publishing)
        except (rtc.participant.PublishTrackError, asyncio.TimeoutError) as error:
            raise ServerError(f"{self._access.shown} did not take the track") from error
        self.published = self.watched = True
        self.moved_s = time.monotonic()
        if isinstance(track, EncodedTrack):
            self._feed.link = track
        self._tell()
        pumping = asyncio.create_task(self._pump(track), name="publish: pictures")
        try:
            while not self._gone.is_set() and self._feed.route in (route, None):
                if pumping.done():
                    pumping.result()  # raises an unexpected error: without the task nothing would be sent
                await self._look(track)
                await either(self._gone, timeout_s=LOOK_EVERY_S)
        finally:
            self._feed.link, self.published = None, False
            pumping.cancel()
            await asyncio.gather(pumping, return_exceptions=True)
            if self._room.isconnected():
                with suppress(Exception):  # the SDK raises if the track is gone already
                    await within(
                        LEAVE_TIMEOUT_S, self._room.local_participant.unpublish_track(publication.sid)
                    )
            await track.aclose()

    async def _until_route_known(self) -> str | None:
        """Return the route as soon as it is known; None if the room is lost first."""
        while self._feed.route is None or self._feed.size_wh is None:
            if self._gone.is_set():
                return None
            await either(self._gone, self._feed.known)
        return self._feed.route

    def _make(self, route: str) -> AnyTrack:
        assert self._feed.size_wh is not None
        if route == ENCODED:
            return PictureTrack(self._feed.size_wh, name=self._name, lens=self._feed.lens)
        return EncodedTrack(
            self._feed.size_wh, name=self._name, has_company=lambda: bool(self._room.remote_participants)
        )

    async def _pump(self, track: AnyTrack) -> None:
        """Give the newest frame to the encoder, one at a time, while somebody watches."""
        if not isinstance(track, PictureTrack):
            return
        loop = asyncio.get_running_loop()
        while True:
            await self._feed.arrived.wait()
            self._feed.arrived.clear()
            frame = self._feed.take()
            if frame is None:
                continue
            if not self.watched:
                self._counts.unwatched += 1
                continue
            fault = None
            try:
                await loop.run_in_executor(self._executor, track.send, frame)
                self._counts.note_sent(0, is_key=False)
            except ImageError as error:
                self._counts.dropped += 1
                fault = str(error) if isinstance(error, FilterFailed) else self.fault
            if fault != self.fault:
                self.fault = fault
                self._tell()

    async def _look(self, track: AnyTrack) -> None:
        """Read what goes over the network; a track that nobody watches is at rest."""
        try:
            reports = await within(LOOK_EVERY_S, track.track.get_stats())
        except Exception:  # the SDK raises a plain Exception while the track is being removed
            return
        active = pictures = 0
        for each in reports:
            if each.HasField("outbound_rtp"):
                stream, sent = each.outbound_rtp.outbound, each.outbound_rtp.sent
                active += stream.active
                before_bytes, before_pictures = self._wire.get(each.outbound_rtp.rtc.id, (0, 0))
                self._wire[each.outbound_rtp.rtc.id] = (sent.bytes_sent, stream.frames_encoded)
                self._counts.wire_bytes += max(0, sent.bytes_sent - before_bytes)
                pictures = max(pictures, stream.frames_encoded - before_pictures)
        self._counts.wire_pictures += pictures
        if (pictures and self.fault is None) or not active:  # before the first picture the SDK sends black
            self.moved_s = time.monotonic()
        if reports:
            self._set_watched(bool(active))

    def _set_watched(self, watched: bool) -> None:
        if watched != self.watched:
            self.watched = watched
            self._tell()
        self._feed.set_watched(watched)

    async def _leave(self) -> None:
        if self._room.isconnected():
            with suppress(asyncio.TimeoutError):
                await within(LEAVE_TIMEOUT_S, self._room.disconnect())
        self._executor.shutdown(wait=False)

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        self._reason = reason
        self._gone.set()

    def _on_reconnecting(self) -> None:
        self.reconnecting = True
        self._tell()

    def _on_reconnected(self) -> None:
        self.reconnecting = False
        self._counts.reconnects += 1
        if isinstance(self._track, EncodedTrack):
            self._track.ask_key()
        self._tell()

    def _on_subscribed(self, track: rtc.Track) -> None:
        self._set_watched(True)
