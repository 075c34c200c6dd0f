"""Filters: they cover what a view must not show, before a picture of it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np

from ..errors import ImageError
from ..imaging.crop import Region, check_box, pixel_box
from ..imaging.pixels import U8

EVERY_VIEW = "*"
"""The name under which filters are set for all views."""


class FilterFailed(ImageError):
    """A filter failed on a picture. The picture is not shown: an unfiltered one never leaves."""


class PictureFilter(Protocol):
    """Changes each picture of a view before it leaves, for example covers a region or blurs faces.

    Worker threads call it, several at the same time, with the whole upright picture in the source's size.
    """

    @property
    def layout(self) -> Literal["rgb", "i420"]:
        """What ``apply`` takes: ``rgb`` or ``i420``; ``i420`` is cheaper."""

    def apply(self, picture: tuple[U8, ...]) -> tuple[U8, ...]:
        """Return the changed picture. If it raises anything, the picture is not shown.

        Args:
            picture: For ``rgb`` one array ``(h, w, 3)``, RGB. For ``i420`` Y ``(h, w)``, U and V
                ``(ceil(h/2), ceil(w/2))``. All uint8 and read-only: change a copy.

        Returns:
            The same number of arrays, of the same shapes, uint8.
        """


Filters = Mapping[str, Sequence[PictureFilter]]
"""The filters of each view by its name; those of ``*`` come first, for every view."""


def filters_of(filters: Filters, *views: str) -> tuple[PictureFilter, ...]:
    """Return the filters of a view with one or several names, in the order in which they are applied."""
    names = [EVERY_VIEW, *dict.fromkeys(views)]
    return tuple(each for name in names for each in filters.get(name, ()))


@dataclass(frozen=True, slots=True)
class MaskRegion:
    """Covers a region with grey.

    Args:
        xyxy: Left, top, right, bottom as shares of the upright picture's width and height, 0 to 1.

    Raises:
        ImageError: The region is empty or outside the picture.
    """

    xyxy: Region

    def __post_init__(self) -> None:
        """Check the corners."""
        check_box(self.xyxy, "mask")

    @property
    def layout(self) -> Literal["i420"]:
        """It works on planes."""
        return "i420"

    def apply(self, picture: tuple[U8, ...]) -> tuple[U8, ...]:
        """Return copies with the region in grey."""
        y, u, v = (plane.copy() for plane in picture)
        x0, y0, x1, y1 = pixel_box(self.xyxy, (y.shape[1], y.shape[0]))
        y[y0:y1, x0:x1] = 128
        # in a turned picture of an odd size, chroma is one pixel off luma: the next sample is partly inside
        odd_h, odd_w = y.shape[0] % 2, y.shape[1] % 2
        for chroma in (u, v):
            chroma[y0 // 2 : (y1 + 1) // 2 + odd_h, x0 // 2 : (x1 + 1) // 2 + odd_w] = 128
        return y, u, v


@dataclass(frozen=True, slots=True)
class BlurRegion:
    """Blurs a region until little more than its colours remains. Use a mask for what nobody may read.

    Args:
        xyxy: Left, top, right, bottom as shares of the upright picture's width and height, 0 to 1.
        blocks: Most blocks that remain along the region's shorter side.

    Raises:
        ImageError: The region is empty or outside the picture, or there are no blocks.
    """

    xyxy: Region
    blocks: int = 2

    def __post_init__(self) -> None:
        """Check the values."""
        check_box(self.xyxy, "blur")
        if self.blocks < 1:
            raise ImageError(f"blur blocks {self.blocks}: must be at least 1")

    @property
    def layout(self) -> Literal["i420"]:
        """It works on planes."""
        return "i420"

    def apply(self, picture: tuple[U8, ...]) -> tuple[U8, ...]:
        """Return copies with the region reduced to a few blocks and enlarged again."""
        y, u, v = (plane.copy() for plane in picture)
        x0, y0, x1, y1 = pixel_box(self.xyxy, (y.shape[1], y.shape[0]))
        self._blur(y[y0:y1, x0:x1])
        for chroma in (u, v):
            self._blur(chroma[y0 // 2 : (y1 + 1) // 2, x0 // 2 : (x1 + 1) // 2])
        return y, u, v

    def _blur(self, part: U8) -> None:
        height, width = part.shape
        side = max(2, -(-min(width, height) // self.blocks))  # of a block, in pixels; 1 changes nothing
        few = cv2.resize(part, (max(1, width // side), max(1, height // side)), interpolation=cv2.INTER_AREA)
        part[:] = np.asarray(cv2.resize(few, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
