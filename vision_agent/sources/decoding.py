"""From packets to frames, with as little decoding as the demand allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..demand import Demand
from ..errors import ImageError
from ..imaging.frame import U8, Frame, i420_size
from .jpeg_packet import whole_jpeg

MAX_KEPT_PACKETS, MAX_KEPT_BYTES = 1000, 32_000_000
"""Limits on what is kept of one group of pictures while idle; at the limit it is decoded, but not shown."""
IDLE_INTERVAL_S = 0.9
"""While idle at most one key frame is decoded in this time, in seconds. It is below 1 s because groups of
one second are common and come with some jitter: each of their key frames is decoded."""
TAIL_PACKETS = 8
"""A catch-up skips pictures that no other picture refers to, except among this many last ones."""

FULL_RANGE = 2  # AVCOL_RANGE_JPEG, libavutil/pixfmt.h
BT709 = 1  # AVCOL_SPC_BT709
BT601, LIMITED = 5, 1  # SWS_CS_ITU601, libswscale/swscale.h; AVCOL_RANGE_MPEG


class PacketDecoder(Protocol):
    """Takes the packets of one stream, in the reader's thread, and may make frames from them."""

    decoded: int
    """Pictures decoded so far."""
    corrupt: int
    """Packets and pictures skipped because they were broken."""

    @property
    def full_size_wh(self) -> tuple[int, int] | None:
        """Width and height in pixels, once known."""

    @property
    def behind(self) -> int:
        """Packets that were kept, to be decoded as soon as somebody looks."""

    def seconds(self, stamp: int | None) -> float | None:
        """Return a time stamp of the stream in seconds."""

    def feed(self, packet: Packet[VideoStream], demand: Demand, now_s: float) -> Frame | None:
        """Take the next packet; return the picture to show now, if there is one."""

    def catch_up(self) -> Frame | None:
        """Decode all that was kept; return the newest picture."""

    def end(self, demand: Demand) -> Frame | None:
        """Take the end of a recording; return its last picture, if the decoder still has one."""


class OpenDecoder(Protocol):
    """Makes the decoder of a stream that was opened."""

    def __call__(
        self, stream: VideoStream, *, source: str, captured_s: Callable[[float | None], float]
    ) -> PacketDecoder:
        """Return the decoder; ``PictureDecoder`` documents the arguments."""


class PictureDecoder:
    """Decodes one stream: motion JPEG never, other codecs by demand.

    While idle it keeps the packets since the last key frame. As soon as somebody looks it decodes all
    of them, so the newest picture is available within milliseconds instead of at the next key frame.

    Args:
        stream: The stream to decode; used in one thread.
        source: Name of the view the frames belong to.
        captured_s: Returns when a picture was captured, from its time stamp in seconds or None.
    """

    def __init__(
        self, stream: VideoStream, *, source: str, captured_s: Callable[[float | None], float]
    ) -> None:
        self._source = source
        self._captured_s = captured_s
        self._codec = stream.codec_context
        self._time_base = stream.time_base or Fraction(1, 1000)
        self._is_jpeg = self._codec.name == "mjpeg"
        if self._codec.name == "h264" and not self._codec.is_open:
            self._codec.thread_count = 1  # only with one thread FFmpeg finds and reports lost slices
        self._kept: deque[Packet[VideoStream]] = deque()
        self._kept_bytes = 0
        self._torn = False  # the kept packets don't continue from the decoder's state
        self._idle_from_s = float("-inf")
        self.decoded = 0
        """Pictures decoded so far."""
        self.corrupt = 0
        """Packets and pictures skipped because they were broken."""

    @property
    def full_size_wh(self) -> tuple[int, int] | None:
        """Width and height in pixels, once known."""
        size_wh = (self._codec.width, self._codec.height)
        return size_wh if all(size_wh) else None

    def seconds(self, stamp: int | None) -> float | None:
        """Return a time stamp of the stream in seconds."""
        return None if stamp is None else float(stamp * self._time_base)

    @property
    def behind(self) -> int:
        """Packets that were kept and not decoded."""
        return len(self._kept)

    def feed(self, packet: Packet[VideoStream], demand: Demand, now_s: float) -> Frame | None:
        """Take the next packet.

        Returns:
            The picture to show now, or None if there is none yet or none is wanted.
        """
        if self._is_jpeg:
            return self._as_it_is(packet)
        if packet.is_corrupt:
            self.corrupt += 1
            return None
        if packet.is_keyframe:
            self._torn |= bool(self._kept)
            self._drop_kept()
        self._kept.append(packet)
        self._kept_bytes += packet.size
        if demand is Demand.ACTIVE:
            return self.catch_up()
        if demand is Demand.IDLE and packet.is_keyframe and now_s - self._idle_from_s >= IDLE_INTERVAL_S:
            self._idle_from_s = now_s
            return self.key_picture(packet)
        if len(self._kept) > MAX_KEPT_PACKETS or self._kept_bytes > MAX_KEPT_BYTES:
            self.catch_up()
        return None

    def catch_up(self) -> Frame | None:
        """Decode all that was kept; return the newest picture."""
        if self._torn:
            self._codec.flush_buffers()
            self._torn = False
        newest, left = None, len(self._kept)
        hurry = left > TAIL_PACKETS
        for packet in self._kept:
            if hurry:
                self._codec.skip_frame = "NONREF" if left > TAIL_PACKETS else "DEFAULT"
            left -= 1
            frames = self._decode(packet)
            newest = frames[-1] if frames else newest
        self._drop_kept()
        return None if newest is None else self._frame(newest)

    def end(self, demand: Demand) -> Frame | None:
        """Take the end of a recording: return the last picture, which the decoder may still have."""
        if self._is_jpeg or demand is not Demand.ACTIVE:
            return None
        newest = self.catch_up()
        frames = self._decode(None)
        return self._frame(frames[-1]) if frames else newest

    def key_picture(self, packet: Packet[VideoStream]) -> Frame | None:
        """Decode one picture on its own; otherwise the decoder would keep it until later ones come."""
        self._codec.flush_buffers()
        frames = self._decode(packet) + self._decode(None)
        self._torn = True
        return self._frame(frames[-1]) if frames else None

    def _as_it_is(self, packet: Packet[VideoStream]) -> Frame | None:
        try:
            width, height, jpeg = whole_jpeg(bytes(packet))
        except ImageError:
            self.corrupt += 1
            return None
        captured_s = self._captured_s(self.seconds(packet.pts))
        return Frame(width=width, height=height, captured_s=captured_s, source=self._source, jpeg=jpeg)

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            frames = self._codec.decode(packet)
        except av.FFmpegError:
            self.corrupt += 1
            return []
        self.decoded += len(frames)
        good = [frame for frame in frames if not frame.is_corrupt]
        self.corrupt += len(frames) - len(good)
        return good

    def _frame(self, decoded: VideoFrame) -> Frame:
        planes_i420, full_range, bt709 = to_i420(decoded)
        return Frame(
            width=decoded.width,
            height=decoded.height,
            captured_s=self._captured_s(self.seconds(decoded.pts)),
            source=self._source,
            planes_i420=planes_i420,
            rotation_deg=-round(decoded.rotation / 90) * 90 % 360,  # FFmpeg counts counterclockwise
            full_range=full_range,
            bt709=bt709,
        )

    def _drop_kept(self) -> None:
        self._kept.clear()
        self._kept_bytes = 0


def to_i420(frame: VideoFrame) -> tuple[U8, bool, bool]:
    """Copy a decoded picture into I420 planes without padding.

    Returns:
        The planes, as in ``Frame.planes_i420``, whether they span the full range, and whether they
        follow ITU-R BT.709. A stream that does not say so counts as BT.601, as in FFmpeg.
    """
    bt709 = frame.colorspace == BT709 and not frame.format.is_rgb
    full_range = frame.format.name.startswith("yuvj") or frame.color_range == FULL_RANGE
    if frame.format.is_rgb:
        full_range = False
        frame = frame.reformat(format="yuv420p", dst_colorspace=BT601, dst_color_range=LIMITED)
    elif frame.format.name not in ("yuv420p", "yuvj420p"):
        same = FULL_RANGE if full_range else LIMITED
        # the matrix stays
        frame = frame.reformat(format="yuv420p", src_color_range=same, dst_color_range=same)
    packed, at = np.empty(i420_size(frame.width, frame.height), np.uint8), 0
    chroma_wh = ((frame.width + 1) // 2, (frame.height + 1) // 2)
    for plane, (width, height) in zip(
        frame.planes, ((frame.width, frame.height), chroma_wh, chroma_wh), strict=True
    ):
        padded = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        packed[at : at + width * height].reshape(height, width)[:] = padded[:height, :width]
        at += width * height
    return packed, full_range, bt709
