"""Foreign picture files, made safe: type from the bytes, upright, scaled down, JPEG."""

from __future__ import annotations

import io
import re

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ..errors import ImageError
from .jpeg import DEFAULT_MAX_SIDE_PX, DEFAULT_QUALITY, EncodedImage, encode_rgb, fit_within
from .pixels import U8
from .scale import scale_down

STRIP_PIXELS = 250_000
"""About how many pixels are converted to RGB at a time: this limits the extra memory."""
MAX_SCANS = 100
"""Most scans of a JPEG: progressive ones have about ten, and each costs a pass over all pixels."""
# a marker with a length, an unknown one, or the end; a stuffed zero, restart or start has no length
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd9-\xfe]")
_SOF0, _EOI, _SOS = 0xC0, 0xD9, 0xDA


def read_picture(
    data: bytes,
    *,
    max_side_px: int = DEFAULT_MAX_SIDE_PX,
    max_pixels: int = 50_000_000,
    quality: int = DEFAULT_QUALITY,
) -> EncodedImage:
    """Read a picture file whose sender is not trusted.

    The bytes decide the type. The size, and for a JPEG the number of scans, is checked before a pixel is
    decoded. EXIF orientation is applied, transparency becomes white, and an animation counts as its
    first frame.

    During reading a pixel of the file takes at most 4 bytes (PNG), 1 (GIF), 9 (WebP) or 13 (animated
    WebP), and up to 3 more if the picture is less than four times too large. A JPEG is scaled while it is
    decoded and takes less than 1 byte, but a progressive one up to 6, and 8 in CMYK.

    Args:
        data: The whole file.
        max_side_px: Longest side of the result, in pixels; never scaled up.
        max_pixels: Most pixels the file may declare.
        quality: JPEG quality of the result, 1-100.

    Raises:
        ImageError: It is not an accepted picture, is broken or too large; or a value is out of range.
    """
    if not 1 <= quality <= 100:
        raise ImageError(f"quality {quality}: must be from 1 to 100")
    try:
        with _open(data) as opened:
            size_wh = opened.size
            if size_wh[0] * size_wh[1] > max_pixels:
                raise ImageError(f"{size_wh[0]}x{size_wh[1]} pixels: at most {max_pixels} are accepted")
            fitted_wh = fit_within(size_wh, max_side_px)
            opened.draft("RGB", fitted_wh)  # a JPEG is scaled while it is decoded
            decoded = _decode_webp(data) if isinstance(opened, WebPImageFile) else opened
            rgb = scale_down(_to_rgb(decoded, 2 * max_side_px), fitted_wh)
            return encode_rgb(_upright(rgb, opened), max_side_px=max_side_px, quality=quality)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:  # GIF and WebP: their readers have a check of their own
        most = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        raise ImageError(f"too many pixels: at most {most} are accepted") from error
    except MemoryError as error:
        raise ImageError("the picture is too large for the memory of this machine") from error
    # Decoders raise many errors on foreign bytes: mostly OSError, ValueError and SyntaxError, but we have
    # also seen struct.error, TypeError, IndexError, EOFError, cv2.error and others.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImageError(f"the picture is broken: {reason}") from error


def _open(data: bytes) -> ImageFile.ImageFile:
    """Read the header, without Pillow's own limit, which may be below ours."""
    file = io.BytesIO(data)
    if data.startswith(b"\xff\xd8\xff"):
        if _has_too_many_scans(data):
            raise ImageError(f"more than {MAX_SCANS} scans in the JPEG: at most {MAX_SCANS} are accepted")
        return JpegImageFile(file)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(file)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return GifImageFile(file)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImageFile(file)
    raise ImageError("not a picture: send JPEG, PNG, WebP or GIF")


def _has_too_many_scans(data: bytes) -> bool:
    """Count the scans from marker to marker, as a decoder does, up to the end of the picture.

    Scans of a thumbnail in the EXIF data and of data after the picture don't count.
    """
    scans, at = 0, 0
    while scans <= MAX_SCANS and (marker := _MARKER.search(data, at)):
        at = marker.end()
        code = data[at - 1]
        scans += code == _SOS
        if code == _EOI:
            if scans:  # before the first scan an end marker only ends the tables: a picture may follow
                break
        elif code >= _SOF0:  # decoders don't know the codes below, and skip nothing after them
            at += int.from_bytes(data[at : at + 2], "big")
    return scans > MAX_SCANS


def _decode_webp(data: bytes) -> Image.Image:
    """Decode with OpenCV: Pillow reads each WebP as an animation, at 16 bytes a pixel."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError("the picture is broken: it can't be decoded")
    has_alpha = pixels.shape[2] == 4
    swapped = cv2.COLOR_BGRA2RGBA if has_alpha else cv2.COLOR_BGR2RGB
    return Image.fromarray(cv2.cvtColor(pixels, swapped, dst=pixels))


def _to_rgb(decoded: Image.Image, enough_px: int) -> U8:
    """Return RGB on white, reduced by a whole number so that the longest side stays ``enough_px``.

    It works strip by strip: only the decoded picture itself needs memory of the full size.
    """
    decoded.load()
    width, height = decoded.size
    factor = max(1, max(width, height) // enough_px)
    rgb = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    rows = max(1, STRIP_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        strip = _on_white(decoded.crop((0, top, width, min(height, top + rows)))).reduce(factor)
        rgb[top // factor : top // factor + strip.height] = np.asarray(strip)
    return rgb


def _on_white(strip: Image.Image) -> Image.Image:
    if strip.mode.startswith("I"):  # grey of 16 bits
        values = np.asarray(strip)
        grey = (values >> 8).astype(np.uint8)
        grey[values == strip.info.get("transparency", -1)] = 255
        return Image.fromarray(grey).convert("RGB")
    if not strip.has_transparency_data:
        return strip.convert("RGB")
    rgba = strip.convert("RGBA")
    paper = Image.new("RGB", strip.size, "white")
    paper.paste(rgba, mask=rgba)
    return paper


def _upright(rgb: U8, opened: Image.Image) -> U8:
    """Turn as EXIF says. Unreadable EXIF changes nothing."""
    try:
        orientation = opened.getexif().get(ExifTags.Base.Orientation)
    # the EXIF parser raises many errors on foreign bytes, but the pixels are usable in any case
    except Exception:
        return rgb
    if orientation in (5, 6, 7, 8):
        rgb = rgb.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    return rgb
