"""A part of a frame: cut out of the planes before anything is scaled or turned."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..errors import ImageError
from .frame import Frame, decode_jpeg
from .pixels import U8
from .scale import turn

Region = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the upright picture's width and height, 0 to 1."""


_ROUNDING = 1e-6
"""Tolerance for rounding errors of shares, in pixels: 1 - 0.8 is a little below 0.2."""


def check_box(xyxy: Region, what: str = "box") -> None:
    """Check the corners of a box.

    Raises:
        ImageError: A corner is outside the picture, or the box is empty.
    """
    left, top, right, bottom = xyxy
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ImageError(f"{what} {xyxy}: left < right and top < bottom must hold, all from 0 to 1")


def crop_frame(frame: Frame, xyxy: Region) -> Frame:
    """Cut a part out of a frame; it keeps chroma samples whole, so an edge may be one pixel further out.

    Args:
        frame: Planes or a JPEG packet; the packet is decoded.
        xyxy: The part, in shares of the upright picture.

    Raises:
        ImageError: The box is empty or outside the picture, or the packet can't be decoded.
    """
    check_box(xyxy, "crop")
    if frame.jpeg is not None:
        rgb = turn(decode_jpeg(frame.jpeg), frame.rotation_deg)
        part = np.ascontiguousarray(crop_rgb(rgb, xyxy))
        return Frame.from_rgb(part, captured_s=frame.captured_s, source=frame.source)
    left, top, right, bottom = _stored(xyxy, frame.rotation_deg)
    x0, x1 = _even_span(left, right, frame.width)
    y0, y1 = _even_span(top, bottom, frame.height)
    y, u, v = frame.planes()
    chroma = (slice(y0 // 2, (y1 + 1) // 2), slice(x0 // 2, (x1 + 1) // 2))
    parts = [y[y0:y1, x0:x1], u[chroma], v[chroma]]
    planes = np.concatenate([np.ascontiguousarray(part).reshape(-1) for part in parts])
    return replace(frame, width=x1 - x0, height=y1 - y0, planes_i420=planes)


def crop_rgb(rgb: U8, xyxy: Region) -> U8:
    """Return a view of a part of an upright RGB array ``(h, w, 3)``."""
    x0, y0, x1, y1 = pixel_box(xyxy, (rgb.shape[1], rgb.shape[0]))
    return rgb[y0:y1, x0:x1]


def pixel_box(xyxy: Region, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the pixels a box touches, at least one in each direction."""
    (x0, x1), (y0, y1) = _span(xyxy[0], xyxy[2], size_wh[0]), _span(xyxy[1], xyxy[3], size_wh[1])
    return x0, y0, x1, y1


def _span(low: float, high: float, side_px: int) -> tuple[int, int]:
    begin = min(math.floor(low * side_px + _ROUNDING), side_px - 1)
    return begin, min(side_px, max(begin + 1, math.ceil(high * side_px - _ROUNDING)))


def _even_span(low: float, high: float, side_px: int) -> tuple[int, int]:
    begin, end = _span(low, high, side_px)
    return begin // 2 * 2, min(side_px, end + end % 2)


def _stored(xyxy: Region, rotation_deg: int) -> Region:
    """Return where a box of the upright picture is in the stored one."""
    left, top, right, bottom = xyxy
    return {
        0: (left, top, right, bottom),
        90: (top, 1 - right, bottom, 1 - left),
        180: (1 - right, 1 - bottom, 1 - left, 1 - top),
        270: (1 - bottom, left, 1 - top, right),
    }[rotation_deg]
