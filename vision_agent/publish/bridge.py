"""Pictures that we encode for a viewer who joins before the camera's next key frame.

We can't ask a camera for a key frame, and its next one may be ten seconds away. So we decode the packets
kept since its last one and encode the stream here, from the current picture on and beginning with a key
frame, until the camera's own key frame comes and passes through again.
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from ..imaging.frame import Frame
from ..sources.decoding import BT709

CRF, KEY_EVERY_S = "23", 0.5
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG, libavutil/pixfmt.h


def can_bridge() -> bool:
    """Return whether this FFmpeg has an H.264 encoder; the one in PyAV's wheels does."""
    return "libx264" in av.codecs_available


class Bridge:
    """Encodes pictures with the least delay and work; used in one thread.

    Args:
        frame: The first picture, which sets the size.
        max_bps: Most bits per second, or None.
    """

    def __init__(self, frame: Frame, *, max_bps: int | None = None) -> None:
        options = {"preset": "ultrafast", "tune": "zerolatency", "crf": CRF, "forced-idr": "1", "bf": "0"}
        if max_bps is not None:
            options |= {"maxrate": str(max_bps), "bufsize": str(max_bps)}
        encoder = av.CodecContext.create("libx264", "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height = self.size_wh = (frame.width, frame.height)
        encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 1000)
        encoder.gop_size, encoder.thread_count = 10_000, 1
        if frame.full_range:
            encoder.color_range = _FULL_RANGE
        if frame.bt709:
            encoder.colorspace = BT709
        encoder.options = options
        self._encoder = encoder
        self._stamp = -1
        self._key_s = float("-inf")
        self._key_asked = True

    def ask_key(self) -> None:
        """Make one of the next pictures a key frame; at most twice a second."""
        self._key_asked = True

    def encode(self, frame: Frame, now_s: float) -> tuple[bytes, bool]:
        """Encode one picture of the first one's size.

        Returns:
            An Annex B access unit, with parameter sets if it is a key frame, and whether it is one.
        """
        planes = frame.planes_i420
        assert planes is not None
        picture = VideoFrame.from_ndarray(
            np.ascontiguousarray(planes.reshape(frame.height * 3 // 2, frame.width)), format="yuv420p"
        )
        self._stamp = max(self._stamp + 1, round(frame.captured_s * 1000))
        picture.pts, picture.time_base = self._stamp, Fraction(1, 1000)
        is_key = self._key_asked and now_s - self._key_s >= KEY_EVERY_S
        if is_key:
            self._key_asked, self._key_s = False, now_s
            picture.pict_type = PictureType.I
        return b"".join(bytes(packet) for packet in self._encoder.encode(picture)), is_key
