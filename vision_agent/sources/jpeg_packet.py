"""What a motion-JPEG packet says about itself, read from its markers without decoding a pixel."""

from __future__ import annotations

import numpy as np
import simplejpeg

from ..errors import ImageError

# ITU-T T.81, table B.1
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_DHT, _SOS = 0xC4, 0xDA
_SOF = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length


def whole_jpeg(packet: bytes) -> tuple[int, int, bytes]:
    """Check a packet and make a JPEG file from it that every decoder reads.

    Webcams (and AVI1 files) omit the standard Huffman tables and pad the end: this adds the tables and
    removes the padding. A packet that needs neither is returned unchanged.

    Returns:
        Width and height in pixels, and the file.

    Raises:
        ImageError: It is no JPEG, or not all of it arrived.
    """
    if packet[:2] != _SOI:
        raise ImageError(f"a packet of {len(packet)} bytes is no JPEG")
    size_wh: tuple[int, int] | None = None
    has_tables = False
    at = 2
    while at + 4 <= len(packet) and packet[at] == 0xFF:
        marker = packet[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _SOF and at + 9 <= len(packet):
            size_wh = (int.from_bytes(packet[at + 7 : at + 9], "big"), packet[at + 5] << 8 | packet[at + 6])
        has_tables = has_tables or marker == _DHT
        if marker == _SOS:
            break
        at += 2 + (packet[at + 2] << 8 | packet[at + 3])
    else:
        raise ImageError(f"a JPEG packet of {len(packet)} bytes ends in its header")
    end = packet.rfind(_EOI, at)
    if size_wh is None or 0 in size_wh or end < 0:
        raise ImageError(f"a JPEG packet of {len(packet)} bytes is cut short")
    tables = b"" if has_tables else _STANDARD_TABLES
    if tables or end + 2 != len(packet):
        packet = packet[:at] + tables + packet[at : end + 2]
    return (*size_wh, packet)


def _standard_tables() -> bytes:
    """Cut the tables of ITU-T T.81 annex K.3 out of a JPEG that uses them."""
    sample = simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8), colorspace="RGB")
    tables, at = b"", 2
    while sample[at + 1] != _SOS:
        end = at + 2 + int.from_bytes(sample[at + 2 : at + 4], "big")
        if sample[at + 1] == _DHT:
            tables += sample[at:end]
        at = end
    return tables


_STANDARD_TABLES = _standard_tables()
