"""The two kinds of video track: one takes encoded pictures, the other lets the SDK encode them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

from livekit import rtc

from ..imaging.frame import Frame
from ..views.lens import Lens
from .link import AccessUnit, Feedback
from .planes import PlaneMaker

PASSTHROUGH, ENCODED = "passthrough", "encoded"
"""The routes of a picture: it passes through unchanged, or the SDK encodes it."""
MAX_BPS = 20_000_000
"""Upper limit of a pass-through, in bits per second; it sends at the stream's own rate."""


class EncodedTrack:
    """A track that takes encoded H.264; an ``EncodedLink``, used by the reader's thread.

    Args:
        size_wh: Width and height in pixels.
        name: The track's name.
        has_company: Returns whether there is anybody else in the room.
    """

    route = PASSTHROUGH

    def __init__(self, size_wh: tuple[int, int], *, name: str, has_company: Callable[[], bool]) -> None:
        self._source = rtc.encoded_video.EncodedVideoSource(*size_wh)
        self._has_company = has_company
        self._lock = threading.Lock()
        self._closed = self._key_needed = False
        self._stamp_us = 0
        self.track = rtc.LocalVideoTrack.create_video_track(name, self._source)
        self.options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            simulcast=False,
            video_codec=rtc.VideoCodec.H264,
            video_encoder=rtc.VideoEncoderBackend.ENCODER_BACKEND_PRE_ENCODED,
            video_encoding=rtc.VideoEncoding(max_bitrate=MAX_BPS, max_framerate=60),
        )

    @property
    def has_company(self) -> bool:
        """Whether there is anybody in the room who could watch."""
        return self._has_company()

    def ask_key(self) -> None:
        """Ask for a key frame, as the room does."""
        self._key_needed = True

    def send(self, unit: AccessUnit) -> bool:
        """Send a picture; return False if the track refused it."""
        self._stamp_us = max(self._stamp_us + 1, round(unit.captured_s * 1e6))
        types = rtc.EncodedFrameType
        frame = rtc.encoded_video.EncodedVideoFrame(
            data=unit.data,
            width=unit.size_wh[0],
            height=unit.size_wh[1],
            codec=rtc.VideoCodec.H264,
            frame_type=types.ENCODED_FRAME_KEY if unit.is_key else types.ENCODED_FRAME_DELTA,
            timestamp_us=self._stamp_us,
        )
        with self._lock:
            return not self._closed and self._source.capture_frame(frame)

    def feedback(self) -> Feedback:
        """Return what the room asked for since the last call."""
        with self._lock:
            if self._closed:
                return Feedback()
            said = self._source.take_feedback()
        needed, self._key_needed = self._key_needed, False
        rate = said.rate_control
        return Feedback(
            key_asked=said.keyframe_requested or needed,
            target_bps=rate.target_bitrate_bps if rate is not None else None,
        )

    async def aclose(self) -> None:
        """Close the source; safe to call twice."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            await self._source.aclose()


class PictureTrack:
    """A track whose pictures the SDK encodes, in several sizes.

    Args:
        size_wh: Width and height in pixels of the first picture.
        name: The track's name.
        lens: Applies the filters to each picture before it is sent.
    """

    route = ENCODED

    def __init__(self, size_wh: tuple[int, int], *, name: str, lens: Lens) -> None:
        self._source = rtc.VideoSource(*size_wh)
        self._lens = lens
        self._planes = PlaneMaker()
        self._closed = False
        self._lock = threading.Lock()
        self.track = rtc.LocalVideoTrack.create_video_track(name, self._source)
        self.options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=True)

    def send(self, frame: Frame) -> None:
        """Give a frame to the encoder; this takes some milliseconds, so don't call it on the loop.

        Raises:
            FilterFailed: A filter failed; nothing was sent.
            ImageError: The frame can't be read.
        """
        frame = self._lens.filtered(frame)
        size_wh, planes = self._planes.limited_i420(frame)
        picture = rtc.VideoFrame(*size_wh, rtc.VideoBufferType.I420, planes.data)
        rotation = cast("rtc.VideoRotation.ValueType", frame.rotation_deg // 90)
        with self._lock:
            if not self._closed:
                self._source.capture_frame(
                    picture, timestamp_us=round(frame.captured_s * 1e6), rotation=rotation
                )

    async def aclose(self) -> None:
        """Close the source; safe to call twice."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            await self._source.aclose()


AnyTrack = EncodedTrack | PictureTrack
