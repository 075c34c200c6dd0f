"""The messages between the decoder process and its owner: length-prefixed, over two pipes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import ImageError
from ..imaging.jpeg import EncodedImage

READY = b"ready\n"
"""The first bytes from the process: it has loaded everything it needs."""
REQUEST = struct.Struct("!IIIId")
"""Length of the file in bytes, longest side, most pixels, quality, CPU seconds; the file follows."""
REPLY = struct.Struct("!?III")
"""Whether the file was decoded, width, height, length in bytes; the JPEG or the reason follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """How to decode a picture, and what it may cost."""

    max_side_px: int
    """Longest side of the result, in pixels."""
    max_pixels: int
    """Most pixels that the file may declare."""
    quality: int
    """JPEG quality of the result, 1-100."""
    max_cpu_s: float
    """Most CPU time that one picture may take, in seconds."""


def pack_request(length: int, options: DecodeOptions) -> bytes:
    """Return the header of a file of this many bytes."""
    return REQUEST.pack(length, options.max_side_px, options.max_pixels, options.quality, options.max_cpu_s)


def read_request(stream: BinaryIO) -> tuple[bytes, DecodeOptions] | None:
    """Wait for a file; return None if the owner has closed the pipe."""
    header = stream.read(REQUEST.size)
    if len(header) < REQUEST.size:
        return None
    length, max_side_px, max_pixels, quality, max_cpu_s = REQUEST.unpack(header)
    data = stream.read(length)
    if len(data) < length:
        return None
    return data, DecodeOptions(
        max_side_px=max_side_px, max_pixels=max_pixels, quality=quality, max_cpu_s=max_cpu_s
    )


def pack_reply(outcome: EncodedImage | ImageError) -> bytes:
    """Return the message with the picture, or with the reason why there is none."""
    if isinstance(outcome, EncodedImage):
        return REPLY.pack(True, outcome.width, outcome.height, len(outcome.data)) + outcome.data
    reason = str(outcome).encode(errors="replace")
    return REPLY.pack(False, 0, 0, len(reason)) + reason


def unpack_reply(header: bytes, body: bytes) -> EncodedImage:
    """Return the picture.

    Raises:
        ImageError: The file was refused; the text says why.
    """
    decoded, width, height, _ = REPLY.unpack(header)
    if not decoded:
        raise ImageError(body.decode())
    return EncodedImage(data=body, mime_type="image/jpeg", width=width, height=height)
