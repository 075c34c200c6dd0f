"""Any frame as the planes that WebRTC takes: limited-range I420, without a conversion to RGB."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ..errors import ImageError
from ..imaging.frame import U8, Frame
from ..imaging.scale import to_bt601
from ..sources.decoding import FULL_RANGE, LIMITED, to_i420


class PlaneMaker:
    """Makes planes from frames; decodes motion JPEG, and an unchanged packet only once."""

    def __init__(self) -> None:
        self._jpeg: bytes | None = None
        self._made: tuple[tuple[int, int], U8] | None = None
        self._decoder: VideoCodecContext | None = None

    def limited_i420(self, frame: Frame) -> tuple[tuple[int, int], U8]:
        """Return width and height in pixels, and the planes as in ``Frame.planes_i420``.

        Raises:
            ImageError: The JPEG packet is broken.
        """
        if frame.jpeg is None:
            assert frame.planes_i420 is not None
            size_wh, planes = (frame.width, frame.height), frame.planes_i420
            if frame.bt709:  # WebRTC does not transport the matrix
                parts = to_bt601(*frame.planes(), full_range=frame.full_range)
                planes = np.concatenate([part.reshape(-1) for part in parts])
                frame = replace(frame, planes_i420=planes, bt709=False)
            return size_wh, to_limited(frame.planes(), size_wh) if frame.full_range else planes
        if frame.jpeg is not self._jpeg or self._made is None:
            self._made, self._jpeg = self._decoded(frame.jpeg), frame.jpeg
        return self._made

    def _decoded(self, jpeg: bytes) -> tuple[tuple[int, int], U8]:
        if self._decoder is None:
            decoder = av.CodecContext.create("mjpeg", "r")
            assert isinstance(decoder, VideoCodecContext)
            decoder.thread_count = 1  # with more threads it delays pictures
            self._decoder = decoder
        try:
            pictures = self._decoder.decode(av.Packet(jpeg))
        except av.FFmpegError as error:
            raise ImageError(f"JPEG of {len(jpeg)} bytes can't be decoded") from error
        if not pictures:
            raise ImageError(f"JPEG of {len(jpeg)} bytes can't be decoded")
        return _limited(pictures[-1])


def _limited(picture: VideoFrame) -> tuple[tuple[int, int], U8]:
    same = picture.reformat(format="yuv420p", src_color_range=FULL_RANGE, dst_color_range=LIMITED)
    return (same.width, same.height), to_i420(same)[0]


def to_limited(planes: tuple[U8, U8, U8], size_wh: tuple[int, int]) -> U8:
    """Convert full-range planes to the limited range."""
    picture = VideoFrame(*size_wh, "yuv420p")
    for target, plane in zip(picture.planes, planes, strict=True):
        rows = np.zeros((plane.shape[0], target.line_size), np.uint8)
        rows[:, : plane.shape[1]] = plane
        target.update(rows.tobytes())
    return _limited(picture)[1]
