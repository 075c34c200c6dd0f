"""``Lens``: the only way from a frame to a picture that leaves the process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from ..imaging.crop import Region, crop_frame
from ..imaging.frame import U8, Frame, decode_jpeg
from ..imaging.jpeg import DEFAULT_MAX_SIDE_PX, DEFAULT_QUALITY, EncodedImage, encode_jpeg, fit_frame
from ..imaging.scale import to_bt601, to_full_range, turn
from .filters import FilterFailed, PictureFilter

logger = logging.getLogger(__name__)


class Lens:
    """Makes the pictures of one view: filters, crop, upright, scale, encode.

    Filters get the whole picture, upright, in full size: a region they cover stays covered in every
    crop. Without filters a frame is turned after it is scaled down, and a JPEG packet that fits is
    passed on unchanged.

    Args:
        filters: Applied to each picture, in this order.
        max_side_px: Longest side of a picture, in pixels; never scaled up.
        quality: JPEG quality, 1-100.
    """

    def __init__(
        self,
        *,
        filters: Sequence[PictureFilter] = (),
        max_side_px: int = DEFAULT_MAX_SIDE_PX,
        quality: int = DEFAULT_QUALITY,
    ) -> None:
        self.filters = tuple(filters)
        self.max_side_px = max_side_px
        self.quality = quality
        self._is_failing = False  # whether we have logged that a filter fails

    def jpeg(self, frame: Frame, *, crop: Region | None = None) -> EncodedImage:
        """Make the JPEG of a frame, or of a part of it.

        Args:
            frame: Planes or a JPEG packet.
            crop: The part to show, in shares of the upright picture; None: all of it.

        Raises:
            FilterFailed: A filter failed.
            ImageError: The frame can't be read, or the crop is empty.
        """
        whole = self.filtered(frame)
        part = whole if crop is None else crop_frame(whole, crop)
        return encode_jpeg(part, max_side_px=self.max_side_px, quality=self.quality)

    def small(self, frame: Frame) -> Frame:
        """Make a small upright limited-range I420 frame, for a model that takes frames.

        Raises:
            FilterFailed: A filter failed.
            ImageError: The frame can't be read.
        """
        return fit_frame(self.filtered(frame), max_side_px=self.max_side_px)

    def filtered(self, frame: Frame) -> Frame:
        """Return the frame in its own size after the filters; without filters, the frame itself.

        Raises:
            FilterFailed: A filter failed.
            ImageError: The frame can't be read.
        """
        if not self.filters:
            return frame
        upright = _upright(frame)
        try:
            for each in self.filters:
                upright = _applied(each, upright)
        except FilterFailed as error:
            if not self._is_failing:
                about = {"source": frame.source, "reason": str(error)}
                logger.warning("a filter fails, nothing is shown", extra=about, exc_info=error.__cause__)
            self._is_failing = True
            raise
        self._is_failing = False
        return upright

    def size_wh(self, frame: Frame) -> tuple[int, int]:
        """Return width and height of the result of ``filtered``, without computing it."""
        is_turned = bool(self.filters) and frame.rotation_deg in (90, 270)
        return (frame.height, frame.width) if is_turned else (frame.width, frame.height)


def _upright(frame: Frame) -> Frame:
    """Return the frame as upright planes in its own size; a JPEG packet is decoded."""
    if frame.jpeg is not None:
        rgb = np.ascontiguousarray(turn(decode_jpeg(frame.jpeg), frame.rotation_deg))
        return Frame.from_rgb(rgb, captured_s=frame.captured_s, source=frame.source)
    if frame.rotation_deg == 0:
        return frame
    return _of_planes(frame, [turn(plane, frame.rotation_deg) for plane in frame.planes()])


def _of_planes(frame: Frame, planes: Sequence[U8]) -> Frame:
    height, width = planes[0].shape
    packed = np.concatenate([np.ascontiguousarray(plane).reshape(-1) for plane in planes])
    return replace(frame, width=width, height=height, planes_i420=packed, rotation_deg=0)


def _applied(one: PictureFilter, frame: Frame) -> Frame:
    """Return upright planes after one filter. It is foreign code: a picture it fails on must not leave."""
    name, layout = type(one).__name__, getattr(one, "layout", None)
    if layout not in ("rgb", "i420"):
        raise FilterFailed(f"filter {name} has the layout {layout!r}: it must be rgb or i420")
    given = (_rgb(frame),) if layout == "rgb" else frame.planes()
    for part in given:
        part.flags.writeable = False  # other users of the frame share it
    try:
        changed = one.apply(given)
    except Exception as error:
        raise FilterFailed(f"filter {name} failed with {type(error).__name__}") from error
    wanted = [(part.shape, part.dtype) for part in given]
    is_right = isinstance(changed, tuple | list) and wanted == [
        (getattr(part, "shape", None), getattr(part, "dtype", None)) for part in changed
    ]
    if not is_right:
        shapes = ", ".join(str(part.shape) for part in given)
        raise FilterFailed(f"filter {name} must return a tuple of uint8 arrays of the given shapes: {shapes}")
    if layout == "i420":
        return _of_planes(frame, changed)
    return Frame.from_rgb(np.ascontiguousarray(changed[0]), captured_s=frame.captured_s, source=frame.source)


def _rgb(frame: Frame) -> U8:
    """Convert upright planes to RGB: within a few levels of ``to_rgb``, in a fifth of the time."""
    y, u, v = frame.planes()
    if frame.bt709:
        y, u, v = to_bt601(y, u, v, full_range=frame.full_range)
    if not frame.full_range:
        y, u, v = to_full_range(y, u, v)
    height, width = y.shape
    even_wh = (2 * u.shape[1], 2 * u.shape[0])
    cb, cr = (cv2.resize(part, even_wh, interpolation=cv2.INTER_NEAREST)[:height, :width] for part in (u, v))
    return np.asarray(cv2.cvtColor(cv2.merge([y, cr, cb]), cv2.COLOR_YCrCb2RGB), dtype=np.uint8)
