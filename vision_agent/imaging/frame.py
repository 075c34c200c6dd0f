"""One picture on its way from a source to the model.

A frame keeps what the source gave (I420 planes or a JPEG packet). Nothing is converted until
somebody asks for pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import cv2
import numpy as np
import simplejpeg

from ..errors import ImageError
from .pixels import U8 as U8
from .pixels import i420_size as i420_size
from .pixels import rgb_to_i420, to_i420


@runtime_checkable
class VideoFrameLike(Protocol):
    """The part of ``livekit.rtc.VideoFrame`` that we use."""

    @property
    def width(self) -> int: ...  # noqa: D102 - named by the protocol's own docstring
    @property
    def height(self) -> int: ...  # noqa: D102 - as above
    @property
    def type(self) -> Any: ...  # noqa: D102 - as above
    @property
    def data(self) -> Any: ...  # noqa: D102 - as above


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One picture, as its source delivered it.

    Exactly one of ``planes_i420`` and ``jpeg`` is set. The arrays are shared: nobody writes to them.
    """

    width: int
    """Width in pixels as stored, before ``rotation_deg`` is applied."""
    height: int
    """Height in pixels as stored, before ``rotation_deg`` is applied."""
    captured_s: float
    """When the frame reached this process, in seconds of ``time.monotonic()``."""
    source: str = "camera"
    """Name of the view the frame belongs to."""
    planes_i420: U8 | None = None
    """Y, U and V planes without padding, shape ``(w*h + 2*ceil(w/2)*ceil(h/2),)``, dtype uint8."""
    jpeg: bytes | None = None
    """A complete JPEG packet."""
    rotation_deg: int = 0
    """Clockwise rotation that makes the picture upright: 0, 90, 180 or 270."""
    full_range: bool = False
    """Whether luma spans 0-255 (JPEG) instead of 16-235 (video)."""
    bt709: bool = False
    """Whether the planes follow ITU-R BT.709, as those of HD cameras do, instead of BT.601."""

    def __post_init__(self) -> None:
        """Check the sizes once, when the frame is made.

        Raises:
            ImageError: A size, the rotation or the data does not fit the others.
        """
        if self.width < 1 or self.height < 1:
            raise ImageError(f"frame size {self.width}x{self.height}: both sides must be at least 1 px")
        if self.rotation_deg not in (0, 90, 180, 270):
            raise ImageError(f"frame rotation {self.rotation_deg}: must be 0, 90, 180 or 270 degrees")
        if (self.planes_i420 is None) == (self.jpeg is None):
            raise ImageError("a frame holds either I420 planes or a JPEG packet")
        if self.planes_i420 is not None and self.planes_i420.size != i420_size(self.width, self.height):
            raise ImageError(
                f"I420 data of {self.planes_i420.size} bytes does not fit {self.width}x{self.height}: "
                f"{i420_size(self.width, self.height)} bytes expected"
            )

    @classmethod
    def from_video_frame(
        cls, frame: VideoFrameLike, *, captured_s: float, source: str = "camera", rotation_deg: int = 0
    ) -> Frame:
        """Wrap a ``livekit.rtc.VideoFrame`` of any pixel format; I420 is not copied.

        Raises:
            ImageError: The data does not fit the size and the format.
        """
        return cls(
            width=frame.width,
            height=frame.height,
            captured_s=captured_s,
            source=source,
            planes_i420=to_i420(frame.data, (frame.width, frame.height), int(frame.type)),
            rotation_deg=rotation_deg,
        )

    @classmethod
    def from_rgb(cls, rgb: U8, *, captured_s: float, source: str = "camera") -> Frame:
        """Make a limited-range I420 frame from an array of shape ``(h, w, 3)``, uint8, RGB.

        Odd sizes are padded with their last row and column before the chroma is halved.
        """
        height, width = rgb.shape[:2]
        return cls(
            width=width, height=height, captured_s=captured_s, source=source, planes_i420=rgb_to_i420(rgb)
        )

    def planes(self) -> tuple[U8, U8, U8]:
        """Return views of Y ``(h, w)`` and U, V ``(ceil(h/2), ceil(w/2))``, uint8.

        Raises:
            ImageError: The frame holds a JPEG packet.
        """
        if self.planes_i420 is None:
            raise ImageError("a JPEG frame has no planes: decode it with to_rgb()")
        chroma_w, chroma_h = (self.width + 1) // 2, (self.height + 1) // 2
        y_end, u_end = self.width * self.height, self.width * self.height + chroma_w * chroma_h
        return (
            self.planes_i420[:y_end].reshape(self.height, self.width),
            self.planes_i420[y_end:u_end].reshape(chroma_h, chroma_w),
            self.planes_i420[u_end:].reshape(chroma_h, chroma_w),
        )

    def to_rgb(self) -> U8:
        """Convert to upright RGB: shape ``(h, w, 3)``, uint8. Slow: for drawing and for reading only.

        Raises:
            ImageError: The JPEG packet is broken.
        """
        if self.jpeg is not None:
            rgb = decode_jpeg(self.jpeg)
        else:
            y, u, v = self.planes()
            size_wh = (self.width, self.height)
            up = [cv2.resize(p, size_wh, interpolation=cv2.INTER_NEAREST) for p in (u, v)]
            yf = y.astype(np.float32)
            if not self.full_range:
                yf = (yf - 16.0) * (255.0 / 219.0)
            scale = 1.0 if self.full_range else 255.0 / 224.0
            cb, cr = ((p.astype(np.float32) - 128.0) * scale for p in up)
            # full-range forms of BT.601 (JFIF 1.02, page 3) and of BT.709 (ITU-R BT.709-6, 3.3)
            by = (1.5748, 0.187324, 0.468124, 1.8556) if self.bt709 else (1.402, 0.344136, 0.714136, 1.772)
            channels = (yf + by[0] * cr, yf - by[1] * cb - by[2] * cr, yf + by[3] * cb)
            rgb = np.clip(np.rint(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)
        return cast("U8", np.ascontiguousarray(np.rot90(rgb, k=-(self.rotation_deg // 90))))


def decode_jpeg(data: bytes, *, min_size_wh: tuple[int, int] = (0, 0)) -> U8:
    """Decode a JPEG to RGB ``(h, w, 3)``.

    Args:
        data: The whole file.
        min_size_wh: If set, the decoder scales the picture down by eighths, to the smallest size with no
            side below this one.

    Raises:
        ImageError: The data is not a whole JPEG.
    """
    try:
        decoded = simplejpeg.decode_jpeg(
            data, colorspace="RGB", min_width=min_size_wh[0], min_height=min_size_wh[1], strict=True
        )
    except ValueError as error:
        raise ImageError(f"JPEG of {len(data)} bytes can't be decoded: {error}") from error
    return cast("U8", decoded)
