"""H.264 from a camera, a stream or a file into a room, without decoding or encoding.

We decode one picture when the input is opened, to learn its size and whether it is upright, and others
only if somebody joins between two key frames that are far apart: see ``bridge``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import av
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.stream import VideoStream

from ..demand import Demand
from ..imaging.frame import Frame
from ..sources.decoding import PictureDecoder
from .annexb import ParameterSets, is_avcc, is_reference
from .bridge import Bridge, can_bridge
from .counts import PublishCounts
from .link import AccessUnit, EncodedLink, NotPassable
from .order import Order
from .thinning import Thinning

logger = logging.getLogger(__name__)

PIXELS = ("yuv420p", "yuvj420p")
"""Pixel formats that the decoders of browsers and of WebRTC accept."""
B_FRAMES = "it has B-frames, which WebRTC can't put in order"
KEY_WAIT_S = 1.0
"""If the next key frame is expected within this time, we wait for it instead of bridging, in seconds."""
LISTEN_EVERY_S = 0.1
"""How often we check what the room asks for, in seconds."""
SETTLE_S = 0.4
"""A request this soon after a key frame needs no other one, in seconds; if it does, it is repeated."""


class Passthrough:
    """Takes the packets of one H.264 stream and sends them; a ``PacketDecoder`` without frames.

    Args:
        stream: The stream.
        source: The view's name.
        captured_s: Returns when a picture was captured, from its time stamp in seconds.
        link: Returns the track to send to, or None while there is none.
        opened: Called with the size once we know that the stream can pass through.
        counts: The counts to update.

    Raises:
        NotPassable: WebRTC can't carry this stream.
    """

    def __init__(
        self,
        stream: VideoStream,
        *,
        source: str,
        captured_s: Callable[[float | None], float],
        link: Callable[[], EncodedLink | None],
        opened: Callable[[tuple[int, int]], None],
        counts: PublishCounts,
    ) -> None:
        codec = stream.codec_context
        if codec.name != "h264":
            raise NotPassable(f"its codec is {codec.name}")
        if codec.has_b_frames:
            raise NotPassable(B_FRAMES)
        extradata = codec.extradata
        avcc = is_avcc(extradata)
        self._filter = BitStreamFilterContext("h264_mp4toannexb", stream) if avcc else None
        self._sets = ParameterSets(None if avcc else extradata)
        self._codec = codec
        self._spare = PictureDecoder(stream, source=source, captured_s=captured_s)
        self._link, self._opened, self._counts = link, opened, counts
        self._captured_s = captured_s
        self._size_wh: tuple[int, int] | None = None
        self._current: EncodedLink | None = None  # the link of the last picture
        self._begun = False  # whether it has got a key frame
        self._asked = False
        self._bridge: Bridge | None = None
        self._thinning = Thinning()
        self._key_s: float | None = None
        self._group_s: float | None = None  # time from one key frame to the next
        self._sent_key_s = self._heard_s = float("-inf")
        self._order = Order()
        self.decoded = 0
        """Pictures decoded so far."""
        self.corrupt = 0
        """Packets skipped because they were broken."""

    @property
    def full_size_wh(self) -> tuple[int, int] | None:
        """Width and height in pixels, once known."""
        return self._size_wh

    @property
    def behind(self) -> int:
        """Always 0: kept packets are decoded only for a bridge."""
        return 0

    def seconds(self, stamp: int | None) -> float | None:
        """Return a time stamp of the stream in seconds."""
        return self._spare.seconds(stamp)

    def catch_up(self) -> Frame | None:
        """There are no frames."""
        return None

    def end(self, demand: Demand) -> Frame | None:
        """There are no frames."""
        return None

    def feed(self, packet: Packet[VideoStream], demand: Demand, now_s: float) -> Frame | None:
        """Send the packet, or its replacement from the bridge.

        Raises:
            NotPassable: The stream turns out to be one that WebRTC can't carry.
        """
        if self._order.is_other(packet.pts, packet.dts, is_key=packet.is_keyframe):
            raise NotPassable(B_FRAMES)
        if packet.is_corrupt:
            self.corrupt += 1
            self._asked = True
            return None
        data, is_key = self._annexb(packet), packet.is_keyframe
        if is_key:
            before = self._sets.sps
            data = self._sets.completed(data)
            if self._sets.sps != before:
                self._size_wh = None  # check the next key frame again
            self._note_key(now_s)
        captured_s = self._captured_s(self.seconds(packet.pts))
        if self._size_wh is None and not self._look(packet, is_key):
            return None
        self._thinning.note(len(data), now_s)
        link = self._listen(now_s)
        if is_key:
            self._bridge = None
        elif self._bridge is not None and link is not None and not link.has_company:
            self._bridge, self._begun = None, False  # nobody watches any more
        if link is None:
            self._keep(packet, now_s)
        elif self._bridge is not None or (not is_key and self._needs_bridge(link, now_s)):
            self._send_own(link, packet, now_s)
        else:
            self._keep(packet, now_s)
            reference = is_key or not self._thinning.level or is_reference(data)
            self._send(link, data, captured_s, is_key=is_key, is_reference=reference, now_s=now_s)
        return None

    def _annexb(self, packet: Packet[VideoStream]) -> bytes:
        if self._filter is None:
            return bytes(packet)
        copy = av.Packet(bytes(packet))  # the filter takes over the packet it gets
        copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
        copy.is_keyframe = packet.is_keyframe
        return b"".join(bytes(each) for each in self._filter.filter(copy))

    def _note_key(self, now_s: float) -> None:
        if self._key_s is not None:
            self._group_s = now_s - self._key_s
        self._key_s = now_s

    def _look(self, packet: Packet[VideoStream], is_key: bool) -> bool:
        """Check the first key frame; return whether the stream can start."""
        frame = self._spare.key_picture(packet) if is_key else None
        if frame is None:
            return False
        self.decoded += 1
        if frame.rotation_deg:
            raise NotPassable("it needs rotation, which can't be sent with the stream")
        pixels = self._codec.pix_fmt
        if pixels not in PIXELS:
            raise NotPassable(f"its pixels are {pixels}, which viewers can't decode")
        self._size_wh = (frame.width, frame.height)
        self._opened(self._size_wh)
        return True

    def _keep(self, packet: Packet[VideoStream], now_s: float) -> None:
        self.decoded -= self._spare.decoded
        self._spare.feed(packet, Demand.OFF, now_s)
        self.decoded += self._spare.decoded

    def _listen(self, now_s: float) -> EncodedLink | None:
        """Return the current link, and note what the room asks for."""
        link = self._link()
        if link is not self._current:
            self._current, self._begun, self._asked, self._bridge = link, False, False, None
            self._thinning.target_bps, self._thinning.level = None, 0
            self._heard_s = float("-inf")
        if link is None:
            return None
        if now_s - self._heard_s < LISTEN_EVERY_S:
            return link
        self._heard_s = now_s
        feedback = link.feedback()
        if feedback.key_asked:
            self._counts.keys_asked += 1
            self._asked = self._asked or now_s - self._sent_key_s >= SETTLE_S
        if feedback.target_bps is not None:
            self._thinning.target_bps = feedback.target_bps
        return link

    def _needs_bridge(self, link: EncodedLink, now_s: float) -> bool:
        if not (self._asked or not self._begun) or not link.has_company or not can_bridge():
            return False
        if self._key_s is None or self._group_s is None:
            return True
        return self._key_s + self._group_s - now_s > KEY_WAIT_S

    def _send_own(self, link: EncodedLink, packet: Packet[VideoStream], now_s: float) -> None:
        self.decoded -= self._spare.decoded
        frame = self._spare.feed(packet, Demand.ACTIVE, now_s)
        self.decoded += self._spare.decoded
        if frame is None:
            return
        if self._bridge is None or self._bridge.size_wh != (frame.width, frame.height):
            self._bridge = Bridge(frame, max_bps=self._thinning.target_bps)
            self._counts.bridges += 1
            logger.info("bridging to the next key frame", extra={"width": frame.width})
        if self._asked:
            self._bridge.ask_key()
            self._asked = False
        data, is_key = self._bridge.encode(frame, now_s)
        self._counts.bridged += 1
        if data:
            self._send(link, data, frame.captured_s, is_key=is_key, is_reference=True, now_s=now_s)

    def _send(
        self,
        link: EncodedLink,
        data: bytes,
        captured_s: float,
        *,
        is_key: bool,
        is_reference: bool,
        now_s: float,
    ) -> None:
        if not is_key and not self._begun:
            self._counts.dropped += 1
            return
        if self._bridge is None and self._thinning.leaves_out(
            is_key=is_key, is_reference=is_reference, now_s=now_s
        ):
            self._counts.thinned += 1
            return
        assert self._size_wh is not None
        unit = AccessUnit(data=data, size_wh=self._size_wh, is_key=is_key, captured_s=captured_s)
        if not link.send(unit):
            self._counts.dropped += 1
            self._begun = False
            return
        if is_key:
            self._begun, self._asked, self._sent_key_s = True, False, now_s
        self._counts.note_sent(len(data), is_key=is_key)
