"""Boxes, labels, a time or a name, drawn on a copy of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..errors import ImageError
from .frame import U8, Frame

COLOURS_RGB = ((255, 90, 60), (40, 170, 255), (60, 200, 90), (255, 190, 0), (200, 90, 255), (0, 200, 200))
"""Colours of the first box, the second, and so on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Something to mark."""

    label: str
    """Text beside it; may be empty."""
    xyxy: tuple[float, float, float, float]
    """Left, top, right, bottom as shares of the picture's width and height, 0 to 1."""

    def __post_init__(self) -> None:
        """Check the corners.

        Raises:
            ImageError: A corner is outside the picture, or the box is empty.
        """
        left, top, right, bottom = self.xyxy
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ImageError(
                f"box {self.label!r} at {self.xyxy}: left < right and top < bottom must hold, all from 0 to 1"
            )

    def pixels_xyxy(self, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the corners in pixels of a picture of this width and height."""
        width, height = size_wh
        left, top, right, bottom = self.xyxy
        return round(left * width), round(top * height), round(right * width), round(bottom * height)


def draw(rgb: U8, boxes: Sequence[Box], *, stamp: str = "") -> U8:
    """Draw boxes with their labels, and a line of text in the corner.

    The frame of a box is drawn around its area, so that the pixels inside don't change.

    Args:
        rgb: The picture, shape ``(h, w, 3)``, uint8; not changed.
        boxes: What to mark.
        stamp: Text for the lower right corner, such as the time.

    Returns:
        A copy with the drawing on it, same shape.
    """
    canvas = rgb.copy()
    height, width = canvas.shape[:2]
    line_px = max(2, min(width, height) // 180)
    for index, box in enumerate(boxes):
        colour = COLOURS_RGB[index % len(COLOURS_RGB)]
        left, top, right, bottom = box.pixels_xyxy((width, height))
        for ring in range(1, line_px + 1):
            cv2.rectangle(canvas, (left - ring, top - ring), (right - 1 + ring, bottom - 1 + ring), colour, 1)
        if box.label:
            _write(canvas, box.label, (left - line_px, top - line_px), colour, below_px=bottom + line_px)
    if stamp:
        _write(canvas, stamp, (width, height), (30, 30, 30))
    return canvas


def named(frame: Frame, name: str) -> Frame:
    """Return a copy of an upright I420 frame with a name in its lower left corner."""
    assert frame.planes_i420 is not None
    copy = replace(frame, planes_i420=frame.planes_i420.copy())
    y, u, v = copy.planes()
    left, top, right, bottom = _write(y, name, (0, frame.height), (16, 16, 16))
    for chroma in (u, v):
        chroma[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2] = 128  # grey
    return copy


def _write(
    canvas: U8,
    text: str,
    corner_xy: tuple[int, int],
    paper: tuple[int, int, int],
    *,
    below_px: int | None = None,
) -> tuple[int, int, int, int]:
    """Write on a plate whose lower left is ``corner_xy``; without room above it, at ``below_px``.

    Returns:
        The plate's left, top, right and bottom, in pixels.
    """
    height, width = canvas.shape[:2]
    font, size = cv2.FontFace("sans"), max(12, min(width, height) // 28)
    _, _, text_w, _ = cv2.getTextSize((width, height), text, (0, 0), font, size)
    plate_w, plate_h = text_w + size // 2, size + size // 2
    left = max(0, min(corner_xy[0], width - plate_w))
    top = corner_xy[1] - plate_h
    if top < 0 and below_px is not None and below_px + plate_h <= height:
        top = below_px
    top = max(0, top)
    cv2.rectangle(canvas, (left, top), (left + plate_w - 1, top + plate_h - 1), paper, cv2.FILLED)
    ink = (20, 20, 20) if np.dot(paper, (0.299, 0.587, 0.114)) > 140 else (255, 255, 255)  # ITU-R BT.601 luma
    cv2.putText(canvas, text, (left + size // 4, top + size + size // 8), ink, font, size)
    return left, top, left + plate_w, top + plate_h
