"""From a frame to the JPEG a model gets.

The fast path stays in the planes: each plane is scaled on its own, the range is expanded by a
table on the small planes, and they go to the JPEG encoder without becoming RGB.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from .errors import ImageError
from .frame import U8, Frame, VideoFrameLike, decode_jpeg

DEFAULT_MAX_SIDE_PX = 768
DEFAULT_QUALITY = 80

# ITU-R BT.601 limited range (luma 16-235, chroma 16-240) to the full range JPEG means
_LEVELS = np.arange(256, dtype=np.float32)
_LUMA_TO_FULL = np.clip(np.rint((_LEVELS - 16) * (255 / 219)), 0, 255).astype(np.uint8)
_CHROMA_TO_FULL = np.clip(np.rint((_LEVELS - 128) * (255 / 224) + 128), 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedImage:
    """A compressed picture, upright."""

    data: bytes
    """The file's bytes."""
    mime_type: str
    """``image/jpeg``, or the type the bytes had already."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""

    def data_url(self) -> str:
        """Return the picture as an RFC 2397 data URL."""
        return f"data:{self.mime_type};base64,{base64.b64encode(self.data).decode('ascii')}"


def fit_within(size_wh: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """Return the size scaled down so that no side is over ``max_side_px``; never scaled up.

    Raises:
        ImageError: ``max_side_px`` is below 1.
    """
    if max_side_px < 1:
        raise ImageError(f"max_side_px {max_side_px}: must be at least 1")
    width, height = size_wh
    longest = max(width, height)
    if longest <= max_side_px:
        return size_wh
    return max(1, round(width * max_side_px / longest)), max(1, round(height * max_side_px / longest))


def encode_jpeg(
    frame: Frame | VideoFrameLike,
    *,
    max_side_px: int = DEFAULT_MAX_SIDE_PX,
    quality: int = DEFAULT_QUALITY,
) -> EncodedImage:
    """Scale down and compress one frame; upright, full range, 4:2:0.

    Args:
        frame: A ``Frame`` or a ``livekit.rtc.VideoFrame`` of any pixel format.
        max_side_px: Longest side of the result; a smaller frame keeps its size.
        quality: JPEG quality, 1-100.

    Returns:
        The picture. A JPEG packet that fits and is upright is handed on untouched.

    Raises:
        ImageError: A value is out of range, or the frame can't be read.
    """
    if not 1 <= quality <= 100:
        raise ImageError(f"quality {quality}: must be from 1 to 100")
    if not isinstance(frame, Frame):
        frame = Frame.from_video_frame(frame, captured_s=0.0)
    if frame.jpeg is not None:
        return _from_packet(frame, frame.jpeg, max_side_px, quality)
    width, height = fit_within((frame.width, frame.height), max_side_px)
    chroma_wh = ((width + 1) // 2, (height + 1) // 2)
    y, u, v = frame.planes()
    small = [shrink(y, (width, height)), shrink(u, chroma_wh), shrink(v, chroma_wh)]
    if not frame.full_range:
        small = [
            np.asarray(cv2.LUT(plane, table), dtype=np.uint8)
            for plane, table in zip(small, (_LUMA_TO_FULL, _CHROMA_TO_FULL, _CHROMA_TO_FULL), strict=True)
        ]
    if frame.rotation_deg:
        small = [np.rot90(plane, k=-(frame.rotation_deg // 90)) for plane in small]
    if frame.rotation_deg in (90, 270):
        width, height = height, width
    data = simplejpeg.encode_jpeg_yuv_planes(*(np.ascontiguousarray(p) for p in small), quality=quality)
    return EncodedImage(data=data, mime_type="image/jpeg", width=width, height=height)


def shrink(plane: U8, size_wh: tuple[int, int]) -> U8:
    """Scale a plane or picture down by area: halved while four times too large, then in one step.

    Halving is the filter's fast case. A linear last step would be twice as fast, but costs 1 dB on
    the hard edges of codes and print.
    """
    width, height = size_wh
    while plane.shape[1] >= 4 * width and plane.shape[0] >= 4 * height:
        half_wh = (plane.shape[1] // 2, plane.shape[0] // 2)
        plane = np.asarray(cv2.resize(plane, half_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if (plane.shape[1], plane.shape[0]) == size_wh:
        return plane
    return np.asarray(cv2.resize(plane, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def encode_rgb(rgb: U8, *, max_side_px: int, quality: int = DEFAULT_QUALITY) -> EncodedImage:
    """Scale down and compress an RGB array of shape ``(h, w, 3)``, uint8."""
    width, height = fit_within((rgb.shape[1], rgb.shape[0]), max_side_px)
    small = np.ascontiguousarray(shrink(rgb, (width, height)))
    data = simplejpeg.encode_jpeg(small, quality=quality, colorspace="RGB", colorsubsampling="420")
    return EncodedImage(data=data, mime_type="image/jpeg", width=width, height=height)


def _from_packet(frame: Frame, packet: bytes, max_side_px: int, quality: int) -> EncodedImage:
    size_wh = (frame.width, frame.height)
    fitted_wh = fit_within(size_wh, max_side_px)
    if fitted_wh == size_wh and frame.rotation_deg == 0:
        return EncodedImage(data=packet, mime_type="image/jpeg", width=frame.width, height=frame.height)
    rgb = decode_jpeg(packet, min_side_px=min(fitted_wh))
    upright = np.ascontiguousarray(np.rot90(rgb, k=-(frame.rotation_deg // 90)))
    return encode_rgb(upright, max_side_px=max_side_px, quality=quality)
