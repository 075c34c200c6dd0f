"""Picture files, good and bad."""

from __future__ import annotations

import io
import zlib
from typing import Any

from PIL import Image

from vision_agent.sources.testcard import render

CARD = Image.fromarray(render(1_700_000_000.0, (640, 360)))
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")


def file_of(format: str, picture: Image.Image = CARD, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=format, **options)
    return out.getvalue()


def bomb() -> bytes:
    """A PNG that declares 30,000 x 30,000 pixels in a few bytes."""
    png = bytearray(file_of("PNG", Image.new("L", (1, 1))))
    png[16:24] = (30_000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(bytes(png[12:29])).to_bytes(4, "big")
    return bytes(png)
