"""From a frame to the JPEG that a model gets.

The fast path works on the planes: it scales each plane on its own, expands the small planes to full
range, turns them upright and gives them to the JPEG encoder without converting them to RGB.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from ..errors import ImageError
from .frame import U8, Frame, VideoFrameLike, decode_jpeg
from .scale import scale_down, scale_down_chroma, to_bt601, to_full_range, turn

DEFAULT_MAX_SIDE_PX = 768
DEFAULT_QUALITY = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedImage:
    """A compressed picture, upright."""

    data: bytes
    """The file's bytes."""
    mime_type: str
    """``image/jpeg``, or the type of bytes that were encoded before."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""

    def data_url(self) -> str:
        """Return the picture as an RFC 2397 data URL."""
        return f"data:{self.mime_type};base64," + str(binascii.b2a_base64(self.data, newline=False), "ascii")


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
        The picture. A JPEG packet that fits and is upright is returned unchanged.

    Raises:
        ImageError: A value is out of range, or the frame can't be read.
    """
    if not 1 <= quality <= 100:
        raise ImageError(f"quality {quality}: must be from 1 to 100")
    if not isinstance(frame, Frame):
        frame = Frame.from_video_frame(frame, captured_s=0.0)
    if frame.jpeg is not None:
        return _from_packet(frame, frame.jpeg, max_side_px, quality)
    small = _scaled(frame, fit_within((frame.width, frame.height), max_side_px))
    if not frame.full_range:
        small = to_full_range(*small)
    if frame.bt709:
        small = to_bt601(*small, full_range=True)
    y, u, v = (np.ascontiguousarray(turn(plane, frame.rotation_deg)) for plane in small)
    height, width = y.shape
    # the encoder reads luma up to the next even side: repeat the border there, or it reads past the plane
    if height % 2 or width % 2:
        even = cv2.copyMakeBorder(y, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        y = np.asarray(even, dtype=np.uint8)[:height, :width]
    data = simplejpeg.encode_jpeg_yuv_planes(y, u, v, quality=quality)
    return EncodedImage(data=data, mime_type="image/jpeg", width=width, height=height)


def fit_frame(frame: Frame, *, max_side_px: int) -> Frame:
    """Scale down, for a model that takes frames: upright limited-range I420, never scaled up.

    Raises:
        ImageError: ``max_side_px`` is below 1, or the frame can't be read.
    """
    fitted_wh = fit_within((frame.width, frame.height), max_side_px)
    if frame.jpeg is not None or frame.full_range or frame.bt709:
        packet = frame.jpeg
        rgb = frame.to_rgb() if packet is None else decode_jpeg(packet, min_size_wh=fitted_wh)
        if packet is not None:
            rgb = turn(rgb, frame.rotation_deg)
        upright = scale_down(rgb, fit_within((rgb.shape[1], rgb.shape[0]), max_side_px))
        return Frame.from_rgb(np.ascontiguousarray(upright), captured_s=frame.captured_s, source=frame.source)
    small = [turn(plane, frame.rotation_deg) for plane in _scaled(frame, fitted_wh)]
    return Frame(
        width=small[0].shape[1],
        height=small[0].shape[0],
        captured_s=frame.captured_s,
        source=frame.source,
        planes_i420=np.concatenate([plane.reshape(-1) for plane in small]),
    )


def encode_rgb(rgb: U8, *, max_side_px: int, quality: int = DEFAULT_QUALITY) -> EncodedImage:
    """Scale down and compress an RGB array of shape ``(h, w, 3)``, uint8."""
    width, height = fit_within((rgb.shape[1], rgb.shape[0]), max_side_px)
    small = np.ascontiguousarray(scale_down(rgb, (width, height)))
    data = simplejpeg.encode_jpeg(small, quality=quality, colorspace="RGB", colorsubsampling="420")
    return EncodedImage(data=data, mime_type="image/jpeg", width=width, height=height)


def _scaled(frame: Frame, size_wh: tuple[int, int]) -> tuple[U8, U8, U8]:
    chroma_wh = ((size_wh[0] + 1) // 2, (size_wh[1] + 1) // 2)
    y, u, v = frame.planes()
    return scale_down(y, size_wh), scale_down_chroma(u, chroma_wh), scale_down_chroma(v, chroma_wh)


def _from_packet(frame: Frame, packet: bytes, max_side_px: int, quality: int) -> EncodedImage:
    size_wh = (frame.width, frame.height)
    fitted_wh = fit_within(size_wh, max_side_px)
    if fitted_wh == size_wh and frame.rotation_deg == 0:
        return EncodedImage(data=packet, mime_type="image/jpeg", width=frame.width, height=frame.height)
    rgb = decode_jpeg(packet, min_size_wh=fitted_wh)  # scaled by eighths, on the DCT coefficients
    upright = turn(scale_down(rgb, fitted_wh), frame.rotation_deg)
    return encode_rgb(upright, max_side_px=max_side_px, quality=quality)
