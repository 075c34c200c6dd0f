"""A picture file, or a folder of them shown one after the other, as a source."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import ImageError, SourceError
from ..imaging.frame import Frame
from .jpeg_packet import whole_jpeg

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Names of files that count as pictures."""
REFRESH_S = 0.1
"""How often the frame of the shown picture is renewed, so that it always counts as current."""
_TURNS = {3: 180, 6: 90, 8: 270}  # EXIF 2.32, tag 0x0112: degrees clockwise, for the values without a mirror


class PictureSource:
    """Shows a picture file, read again whenever it changes, or the pictures of a folder in turn.

    Args:
        path: A picture, or a folder; its pictures are shown in the order of their names.
        interval_s: How long each picture is shown, in seconds; then the source checks the files again.
        loop: Whether to begin again after the last one.
        name: The view's name.
    """

    def __init__(self, path: Path, *, interval_s: float = 1.0, loop: bool = True, name: str) -> None:
        self.name = name
        self.path = path
        self.interval_s = interval_s
        self.loop = loop
        self.unreadable = 0
        """Pictures of the folder that could not be read and were skipped."""
        self._ended = False
        self._last: tuple[tuple[Path, int, int], Frame] | None = None

    @property
    def problem(self) -> str | None:
        """Why no frames arrive now, or None if they arrive."""
        return "the last picture was shown" if self._ended else None

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield the current picture, renewed while it is shown.

        Raises:
            SourceError: The picture can't be read, or the folder has none.
        """
        self._ended = False
        until_s = time.monotonic()
        while True:
            paths = await asyncio.to_thread(pictures_in, self.path)
            shown = 0
            for path in paths:
                still = await asyncio.to_thread(self._read, path)
                if still is None:
                    continue
                shown += 1
                until_s = max(until_s, time.monotonic() - self.interval_s) + self.interval_s
                while (now_s := time.monotonic()) < until_s:
                    yield replace(still, captured_s=now_s)
                    await asyncio.sleep(min(REFRESH_S, until_s - now_s))
            if not shown:
                raise SourceError(f"{self.path}: no picture in it that can be read")
            if not self.loop:
                self._ended = True
                return

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _read(self, path: Path) -> Frame | None:
        """Read a picture, unless it was the last one read and has not changed."""
        try:
            stat = path.stat()
            key = (path, stat.st_mtime_ns, stat.st_size)
            if self._last is None or self._last[0] != key:
                self._last = (key, read_still(path, self.name))
            return self._last[1]
        except OSError as error:
            reason = f"{path}: {(error.strerror or 'it cannot be read').lower()}"
        except SourceError as error:
            reason = str(error)
        if path == self.path:
            raise SourceError(reason)
        self.unreadable += 1
        logger.warning("picture left out", extra={"source": self.name, "reason": reason})
        return None


def pictures_in(path: Path) -> list[Path]:
    """Return the picture files of a folder in the order of their names; for a file, only that file."""
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)


def read_still(path: Path, source: str) -> Frame:
    """Read a picture file; a JPEG stays a JPEG, other types become I420. Transparency becomes white.

    Raises:
        SourceError: It does not exist, is not a picture, or is broken.
    """
    now_s = time.monotonic()
    try:
        with Image.open(path) as opened:
            turn = opened.getexif().get(0x0112, 1)
            if opened.format == "JPEG" and opened.mode in ("RGB", "L") and (turn == 1 or turn in _TURNS):
                width, height, jpeg = whole_jpeg(path.read_bytes())
                return Frame(
                    width=width,
                    height=height,
                    captured_s=now_s,
                    source=source,
                    jpeg=jpeg,
                    rotation_deg=_TURNS.get(turn, 0),
                    full_range=True,
                )
            rgba = ImageOps.exif_transpose(opened).convert("RGBA")
            paper = Image.new("RGBA", rgba.size, "white")
            rgb = np.asarray(Image.alpha_composite(paper, rgba).convert("RGB"), dtype=np.uint8)
    except UnidentifiedImageError:
        raise SourceError(f"{path}: not a picture that can be read; use JPEG, PNG or WebP") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SourceError(f"{path}: too many pixels to be read") from error
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow's readers raise on broken files
        raise SourceError(f"{path}: {getattr(error, 'strerror', None) or 'the picture is broken'}") from error
    except ImageError as error:
        raise SourceError(f"{path}: the picture is broken") from error
    return Frame.from_rgb(rgb, captured_s=now_s, source=source)
