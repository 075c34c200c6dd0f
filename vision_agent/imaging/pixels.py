"""Any pixel format of ``livekit.rtc`` as I420.

The SDK can convert most of them, but it aborts the whole process on I010 and ABGR (livekit 1.1), and
needs several passes for an odd-sized frame of 4:2:2 or 4:4:4. This module uses plain array views instead.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import ImageError

U8 = npt.NDArray[np.uint8]


def to_i420(data: bytes | bytearray | memoryview, size_wh: tuple[int, int], buffer_type: int) -> U8:
    """Return the picture as packed I420: Y, U and V without padding, ``i420_size`` bytes.

    Args:
        data: The frame's buffer, without padding.
        size_wh: Width and height in pixels.
        buffer_type: A ``livekit.rtc.VideoBufferType``. RGB becomes limited-range BT.601.

    Raises:
        ImageError: The format is unknown, or the data is too short for it.
    """
    try:
        convert = _CONVERTERS[buffer_type]
    except KeyError as error:
        raise ImageError(
            f"pixel format {buffer_type} is not known: use one of rtc.VideoBufferType"
        ) from error
    flat = np.frombuffer(data, dtype=np.uint8)
    try:
        return convert(flat, *size_wh)
    except ValueError as error:
        raise ImageError(
            f"{flat.size} bytes are not a picture of {size_wh[0]}x{size_wh[1]} in pixel format {buffer_type}"
        ) from error


def i420_size(width: int, height: int) -> int:
    """Return the bytes of an unpadded I420 picture; chroma sides round up."""
    return width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)


def rgb_to_i420(rgb: U8) -> U8:
    """Convert ``(h, w, 3)`` RGB or ``(h, w, 4)`` RGBA to packed limited-range I420 (ITU-R BT.601).

    Odd sizes are padded with their last row and column before the chroma is halved.
    """
    height, width, channels = rgb.shape
    pad_h, pad_w = height % 2, width % 2
    even = cv2.copyMakeBorder(rgb, 0, pad_h, 0, pad_w, cv2.BORDER_REPLICATE) if pad_h or pad_w else rgb
    code = cv2.COLOR_RGBA2YUV_I420 if channels == 4 else cv2.COLOR_RGB2YUV_I420
    packed = np.asarray(cv2.cvtColor(even, code), dtype=np.uint8).reshape(-1)
    if not (pad_h or pad_w):
        return packed
    even_h, even_w = height + pad_h, width + pad_w
    luma = packed[: even_w * even_h].reshape(even_h, even_w)[:height, :width].reshape(-1)
    return np.concatenate([luma, packed[even_w * even_h :]])


def _packed(channels: int, red_to_blue: slice) -> Callable[[U8, int, int], U8]:
    """Make the converter of packed channels; the slice selects R, G and B, in this order."""

    def convert(flat: U8, width: int, height: int) -> U8:
        pixels = flat[: width * height * channels].reshape(height, width, channels)
        return rgb_to_i420(np.ascontiguousarray(pixels[:, :, red_to_blue]))

    return convert


def _planar(chroma_step_wh: tuple[int, int], depth: int = 8) -> Callable[[U8, int, int], U8]:
    """Make the converter of planes with one chroma sample per ``chroma_step_wh`` pixels; ignores the rest."""

    def convert(flat: U8, width: int, height: int) -> U8:
        samples = flat if depth == 8 else _to_8_bit(flat.view("<u2"), depth)
        have_wh = (-(-width // chroma_step_wh[0]), -(-height // chroma_step_wh[1]))
        luma, chroma = width * height, have_wh[0] * have_wh[1]
        if samples.size < luma + 2 * chroma:
            raise ValueError("too short")
        if chroma_step_wh == (2, 2):
            return samples[: luma + 2 * chroma]
        planes = samples[luma : luma + 2 * chroma].reshape(2, have_wh[1], have_wh[0])
        return np.concatenate([samples[:luma], *(_halved(p, width, height).reshape(-1) for p in planes)])

    return convert


def _to_8_bit(samples: npt.NDArray[np.uint16], depth: int) -> U8:
    half = 1 << (depth - 9)
    return np.asarray(np.minimum((samples + half) >> (depth - 8), 255), dtype=np.uint8)


def _halved(chroma: U8, width: int, height: int) -> U8:
    pad_h = height % 2
    pad_w = width % 2 if chroma.shape[1] == width else 0
    even = cv2.copyMakeBorder(chroma, 0, pad_h, 0, pad_w, cv2.BORDER_REPLICATE) if pad_h or pad_w else chroma
    size_wh = ((width + 1) // 2, (height + 1) // 2)
    return np.asarray(cv2.resize(even, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _nv12(flat: U8, width: int, height: int) -> U8:
    luma = width * height
    if flat.size < i420_size(width, height):
        raise ValueError("too short")
    pairs = flat[luma : i420_size(width, height)].reshape(-1, 2)
    return np.concatenate([flat[:luma], pairs[:, 0], pairs[:, 1]])


# by livekit.rtc.VideoBufferType (livekit-protocol, video_frame.proto)
_CONVERTERS: dict[int, Callable[[U8, int, int], U8]] = {
    0: _packed(4, slice(0, 4)),  # RGBA; keeps alpha, to save a copy
    1: _packed(4, slice(3, 0, -1)),  # ABGR
    2: _packed(4, slice(1, 4)),  # ARGB
    3: _packed(4, slice(2, None, -1)),  # BGRA
    4: _packed(3, slice(0, 3)),  # RGB24
    5: _planar((2, 2)),  # I420
    6: _planar((2, 2)),  # I420A, alpha comes last
    7: _planar((2, 1)),  # I422
    8: _planar((1, 1)),  # I444
    9: _planar((2, 2), depth=10),  # I010, little-endian
    10: _nv12,  # NV12
}
