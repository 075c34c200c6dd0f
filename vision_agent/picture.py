"""Foreign picture files, made safe: type from the bytes, upright, scaled down, JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageError
from .image import DEFAULT_MAX_SIDE_PX, EncodedImage, encode_rgb

ACCEPTED = ("JPEG", "PNG", "WEBP", "GIF")
"""Pillow's names of the formats that are read."""


def read_picture(
    data: bytes, *, max_side_px: int = DEFAULT_MAX_SIDE_PX, max_pixels: int = 50_000_000
) -> EncodedImage:
    """Read a picture file whose sender is not trusted.

    The type is found from the bytes. The size is checked before a pixel is decoded. EXIF
    orientation is applied, transparency is put on white, of an animation the first frame counts.

    Args:
        data: The whole file.
        max_side_px: Longest side of the result, in pixels; never scaled up.
        max_pixels: Most pixels the file may declare.

    Raises:
        ImageError: It is no accepted picture, is broken, or is too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=ACCEPTED) as opened:
            if opened.width * opened.height > max_pixels:
                raise ImageError(f"{opened.width}x{opened.height} pixels: at most {max_pixels} are accepted")
            opened.draft("RGB", (max_side_px, max_side_px))  # a JPEG is scaled while it is decoded
            upright = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError as error:
        raise ImageError("not a picture: send JPEG, PNG, WebP or GIF") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"too many pixels: at most {max_pixels} are accepted") from error
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow's readers raise on broken files
        raise ImageError(f"the picture is broken: {error}") from error
    rgba = upright.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    rgb = np.asarray(Image.alpha_composite(paper, rgba).convert("RGB"), dtype=np.uint8)
    return encode_rgb(rgb, max_side_px=max_side_px)
