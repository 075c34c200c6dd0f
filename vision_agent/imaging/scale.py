"""Scales planes and pictures down, in the few steps that OpenCV does fast.

A mean over the area is the right filter, but OpenCV's is slow unless it is a mean of four. If OpenCV
has Intel's IPP (its wheels for x86), we use IPP's mean: within one level of OpenCV's, in a tenth of the
time. Otherwise we scale a plane to twice the wanted size and take the mean of four: the difference from
the true mean is below 0.1 dB after JPEG, in a third of the time.
"""

from __future__ import annotations

import cv2
import numpy as np

from .pixels import U8


def scale_down(plane: U8, size_wh: tuple[int, int]) -> U8:
    """Scale a luma plane ``(h, w)`` or a picture ``(h, w, 3)`` down; edges and print stay sharp.

    Args:
        plane: uint8; not written to.
        size_wh: Wanted width and height, neither larger than the plane's.

    Returns:
        uint8, contiguous; the plane itself if it already has the size.
    """
    width, height = size_wh
    # for factors nearer to 1 a mean over the area blurs print; cubic does not
    if 2 * plane.shape[1] >= 3 * width and (mean := _ipp_mean(plane, size_wh)) is not None:
        return mean
    # from 1.5 to 3 times too large: keep both steps near 1, because linear and cubic skip pixels far from it
    plane = _halve_while(plane, (3 * width, 3 * height))
    if plane.shape[1] == width and plane.shape[0] == height:
        return plane
    if 5 * plane.shape[1] < 6 * width:  # too small a step for a mean of four to pay off
        return _resize(plane, size_wh, cv2.INTER_CUBIC)
    enlarged = plane.shape[1] < 2 * width
    twice = _resize(plane, (2 * width, 2 * height), cv2.INTER_CUBIC if enlarged else cv2.INTER_LINEAR)
    return _resize(twice, size_wh, cv2.INTER_LINEAR)


def scale_down_chroma(plane: U8, size_wh: tuple[int, int]) -> U8:
    """Scale a chroma plane ``(h, w)`` down: as ``scale_down``, but fast rather than sharp."""
    width, height = size_wh
    if (mean := _ipp_mean(plane, size_wh)) is not None:
        return mean
    plane = _halve_while(plane, (2 * width, 2 * height))
    return _resize(plane, size_wh, cv2.INTER_LINEAR)


def to_full_range(y: U8, u: U8, v: U8) -> tuple[U8, U8, U8]:
    """Expand ITU-R BT.601 limited range (luma 16-235, chroma 16-240) to the full range of JPEG."""
    chroma_gain = 255 / 224
    chroma_offset = 128 - 128 * chroma_gain
    return (
        _expand(y, 255 / 219, -16 * 255 / 219),
        _expand(u, chroma_gain, chroma_offset),
        _expand(v, chroma_gain, chroma_offset),
    )


def to_bt601(y: U8, u: U8, v: U8, *, full_range: bool) -> tuple[U8, U8, U8]:
    """Convert ITU-R BT.709 planes, as HD cameras send them, to the BT.601 of JPEG; the range stays.

    The factors are those of BT.601's matrix times the inverse of BT.709's (ITU-R BT.709-6, 3; BT.601-7, 2.5).
    """
    gain = 1.0 if full_range else 219 / 224  # of a step of chroma, in steps of luma
    size_wh = (y.shape[1], y.shape[0])
    at_luma = [_resize(plane, size_wh, cv2.INTER_LINEAR) for plane in (u, v)]
    by_u, by_v = 0.101579 * gain, 0.196076 * gain
    shift = cv2.addWeighted(at_luma[0], by_u, at_luma[1], by_v, -128 * (by_u + by_v), dtype=cv2.CV_16S)
    return (
        np.asarray(cv2.add(y, shift, dtype=cv2.CV_8U), dtype=np.uint8),
        np.asarray(
            cv2.addWeighted(u, 0.989854, v, -0.110653, 128 * (1 - 0.989854 + 0.110653)), dtype=np.uint8
        ),
        np.asarray(
            cv2.addWeighted(v, 0.983398, u, -0.072453, 128 * (1 - 0.983398 + 0.072453)), dtype=np.uint8
        ),
    )


def turn(plane: U8, rotation_deg: int) -> U8:
    """Turn a plane or picture clockwise by 0, 90, 180 or 270 degrees."""
    codes = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    return np.asarray(cv2.rotate(plane, codes[rotation_deg]), dtype=np.uint8) if rotation_deg else plane


def _ipp_mean(plane: U8, size_wh: tuple[int, int]) -> U8 | None:
    """Return IPP's mean over the area; None without IPP."""
    if not cv2.ipp.useIPP():
        return None
    # OpenCV uses IPP's mean only on request, because it is not bit-exact; the flag is per thread
    before = cv2.ipp.useIPP_NotExact()
    cv2.ipp.setUseIPP_NotExact(True)
    try:
        return _resize(plane, size_wh, cv2.INTER_AREA)
    finally:
        cv2.ipp.setUseIPP_NotExact(before)


def _halve_while(plane: U8, at_least_wh: tuple[int, int]) -> U8:
    while plane.shape[1] >= at_least_wh[0] and plane.shape[0] >= at_least_wh[1]:
        plane = _resize(plane, (plane.shape[1] // 2, plane.shape[0] // 2), cv2.INTER_LINEAR)
    return plane


def _resize(plane: U8, size_wh: tuple[int, int], interpolation: int) -> U8:
    # at exactly half the size INTER_LINEAR is the mean of four
    if (plane.shape[1], plane.shape[0]) == size_wh:
        return plane
    return np.asarray(cv2.resize(plane, size_wh, interpolation=interpolation), dtype=np.uint8)


def _expand(plane: U8, gain: float, offset: float) -> U8:
    # twice as fast as a table; saturates at 0 below 16, whereas convertScaleAbs would turn positive again
    return np.asarray(cv2.addWeighted(plane, gain, plane, 0, offset), dtype=np.uint8)
