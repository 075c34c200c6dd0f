"""The pictures that a lens makes of every kind of frame: the requested part, and nothing that is covered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from vision_agent import EncodedImage, Frame, ImageError, Vision, VisionOptions, encode_jpeg
from vision_agent.imaging.crop import Region, crop_frame
from vision_agent.imaging.frame import U8, decode_jpeg
from vision_agent.imaging.jpeg import encode_rgb, fit_frame
from vision_agent.models.reading import read_text
from vision_agent.views.filters import BlurRegion, FilterFailed, MaskRegion, PictureFilter, filters_of
from vision_agent.views.lens import Lens

from .filtering import (
    GREY,
    KINDS,
    ROTATIONS,
    FailingFilter,
    RgbMask,
    StillSource,
    frame_of,
    texts_in,
    two_codes,
)
from .waiting import until

SIZES = ((640, 360), (641, 361))
LEFT = (0.05, 0.1, 0.45, 0.9)
"""A region with all of the hidden code and more than a block of the picture's ground around it."""
BOXES: tuple[Region, ...] = (
    (0.25, 0.25, 0.75, 0.5),
    (0.0, 0.0, 0.3, 1.0),
    (0.6, 0.8, 1.0, 1.0),
    (0.31, 0.17, 0.77, 0.63),
)


def large(*filters: PictureFilter) -> Lens:
    return Lens(filters=filters, max_side_px=2000, quality=95)


def pixels(image: EncodedImage) -> U8:
    rgb = decode_jpeg(image.data)
    assert rgb.shape == (image.height, image.width, 3)
    return rgb


def psnr_db(a: U8, b: U8) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, float(np.mean((a.astype(float) - b.astype(float)) ** 2)))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rotation_deg", ROTATIONS)
@pytest.mark.parametrize("size_wh", SIZES, ids=str)
def test_a_crop_shows_that_part_of_the_upright_picture(
    kind: str, rotation_deg: int, size_wh: tuple[int, int]
) -> None:
    upright = two_codes(size_wh=size_wh)
    frame = frame_of(upright, kind=kind, rotation_deg=rotation_deg)
    for box in BOXES:
        seen = pixels(large().jpeg(frame, crop=box))
        left, top = int(box[0] * size_wh[0]), int(box[1] * size_wh[1])
        wanted_wh = [(box[2] - box[0]) * size_wh[0], (box[3] - box[1]) * size_wh[1]]
        for side, wanted in zip((seen.shape[1], seen.shape[0]), wanted_wh, strict=True):
            assert wanted - 0.01 <= side <= wanted + 4
        # chroma is kept whole: the part may begin a pixel further out
        parts = [
            upright[y : y + seen.shape[0], x : x + seen.shape[1]]
            for y in range(max(0, top - 1), top + 1)
            for x in range(max(0, left - 1), left + 1)
        ]
        assert max(psnr_db(seen, part) for part in parts if part.shape == seen.shape) > 28


@pytest.mark.parametrize("kind", KINDS)
def test_a_crop_at_even_pixels_is_exact(kind: str) -> None:
    frame = frame_of(two_codes(), kind=kind)
    part = crop_frame(frame, (0.25, 0.25, 0.8, 0.75))
    assert (part.width, part.height) == (352, 180)
    assert (part.full_range, part.bt709) == ("full" in kind, "bt709" in kind)
    assert np.abs(part.to_rgb().astype(int) - frame.to_rgb()[90:270, 160:512]).max() <= (
        0 if frame.jpeg is None else 90
    )
    assert psnr_db(part.to_rgb(), frame.to_rgb()[90:270, 160:512]) > 35


def test_a_small_part_is_never_empty_and_comes_in_its_own_pixels() -> None:
    frame = frame_of(two_codes())
    tiny = large().jpeg(frame, crop=(0.9999, 0.9999, 1.0, 1.0))
    assert (tiny.width, tiny.height) == (2, 2)
    part = Lens(max_side_px=300).jpeg(frame, crop=(0.5, 0.0, 0.75, 0.5))
    assert (part.width, part.height) == (160, 180)  # not scaled, where the whole picture would be


@pytest.mark.parametrize(
    "box", [(0.5, 0.0, 0.5, 1.0), (0.0, 0.6, 1.0, 0.4), (-0.1, 0.0, 1.0, 1.0), (0.0, 0.0, float("nan"), 1.0)]
)
def test_a_box_that_is_none_is_named(box: Region) -> None:
    with pytest.raises(ImageError, match=r"crop .*left < right"):
        large().jpeg(frame_of(two_codes()), crop=box)
    with pytest.raises(ImageError, match=r"mask .*left < right"):
        MaskRegion(box)
    with pytest.raises(ImageError, match=r"blur .*left < right"):
        BlurRegion(box)


@pytest.mark.parametrize("make", [MaskRegion, RgbMask])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rotation_deg", ROTATIONS)
@pytest.mark.parametrize("size_wh", SIZES, ids=str)
def test_a_mask_covers_exactly_its_part_of_the_upright_picture(
    make: Any, kind: str, rotation_deg: int, size_wh: tuple[int, int]
) -> None:
    upright = two_codes(size_wh=size_wh)
    frame = frame_of(upright, kind=kind, rotation_deg=rotation_deg)
    lens = large(make(LEFT))
    small = Lens(filters=[make(LEFT)], max_side_px=320).small(frame)
    assert texts_in(pixels(large().jpeg(frame))) == {"HIDDEN", "SHOWN"}
    for seen in (pixels(lens.jpeg(frame)), lens.filtered(frame).to_rgb(), small.to_rgb()):
        assert texts_in(seen) == {"SHOWN"}
        height, width = seen.shape[:2]
        x0, y0, x1, y1 = (round(share * side) for share, side in zip(LEFT, (width, height) * 2, strict=True))
        assert np.abs(seen[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].astype(int) - GREY).max() <= 8
        if (width, height) == size_wh:
            for rows, columns in (
                (slice(None), slice(x1 + 3, None)),
                (slice(None), slice(None, x0 - 3)),
                (slice(None, y0 - 3), slice(None)),
                (slice(y1 + 3, None), slice(None)),
            ):
                assert psnr_db(seen[rows, columns], upright[rows, columns]) > 28


@pytest.mark.parametrize("make", [MaskRegion, RgbMask])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rotation_deg", ROTATIONS)
@pytest.mark.parametrize("size_wh", SIZES, ids=str)
@pytest.mark.parametrize("crop", [None, (0.1, 0.2, 0.4, 0.8), (0.3, 0.0, 1.0, 1.0)], ids=str)
def test_what_is_under_a_mask_makes_no_difference_to_a_single_byte(
    make: Any, kind: str, rotation_deg: int, size_wh: tuple[int, int], crop: Region | None
) -> None:
    """The mask does more than make it unreadable: two pictures that differ only under it become the same."""
    lens = Lens(filters=[make(LEFT)], max_side_px=500, quality=95)
    frames = [
        frame_of(two_codes(text, size_wh), kind=kind, rotation_deg=rotation_deg)
        for text in ("HIDDEN", "OTHER")
    ]
    one, other = (lens.jpeg(frame, crop=crop) for frame in frames)
    assert one.data == other.data
    if crop is None:
        small, as_small = (lens.small(frame).planes_i420 for frame in frames)
        assert small is not None and as_small is not None and (small == as_small).all()
    elif crop[2] < LEFT[2]:
        assert np.abs(pixels(one).astype(int) - GREY).max() <= 4  # all of it lies under the mask
    else:
        assert texts_in(pixels(one)) == {"SHOWN"}


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind != "jpeg"]
)  # JPEG itself smears over the edge
@pytest.mark.parametrize("rotation_deg", ROTATIONS)
@pytest.mark.parametrize("size_wh", SIZES, ids=str)
def test_nor_does_what_reaches_up_to_the_edge_of_the_mask(
    kind: str, rotation_deg: int, size_wh: tuple[int, int]
) -> None:
    """A chroma sample belongs to four pixels, and the region may have only one of them."""
    for x0, y0, x1, y1 in ((32, 36, 288, 324), (33, 35, 287, 323), (32, 35, 287, 324), (0, 0, 641, 361)):
        box = (x0, y0, min(x1, size_wh[0]), min(y1, size_wh[1]))
        share = [px / side for px, side in zip(box, size_wh * 2, strict=True)]
        made = set()
        for colour in ((200, 30, 30), (30, 60, 200)):
            picture = two_codes(size_wh=size_wh).copy()
            picture[box[1] : box[3], box[0] : box[2]] = colour
            frame = frame_of(picture, kind=kind, rotation_deg=rotation_deg)
            made.add(large(MaskRegion((share[0], share[1], share[2], share[3]))).jpeg(frame).data)
        assert len(made) == 1


@pytest.mark.parametrize("rotation_deg", ROTATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_blurred_region_can_not_be_read_and_what_is_beside_it_can(kind: str, rotation_deg: int) -> None:
    upright = two_codes()
    frame = frame_of(upright, kind=kind, rotation_deg=rotation_deg)
    seen = pixels(large(BlurRegion(LEFT)).jpeg(frame))
    assert texts_in(seen) == {"SHOWN"}
    assert psnr_db(seen[:, 300:], upright[:, 300:]) > 28


def test_a_blurred_line_of_text_can_not_be_read_though_the_region_fits_it_closely() -> None:
    picture = np.full((360, 640, 3), 235, np.uint8)
    regions = []
    for text, base_px, size, thick in (
        ("SECRET 4711", 80, 2.0, 4),
        ("HIDDEN NUMBER 123456", 150, 1.0, 2),
        ("small print 987", 200, 0.6, 1),
        ("SHOWN", 330, 2.0, 4),
    ):
        cv2.putText(
            picture, text, (20, base_px), cv2.FONT_HERSHEY_SIMPLEX, size, (20, 20, 20), thick, cv2.LINE_AA
        )
        (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
        regions.append((18 / 640, (base_px - h - 2) / 360, (22 + w) / 640, (base_px + 3) / 360))
    frame = frame_of(picture)
    plain = [mark.text for mark in read_text(pixels(large().jpeg(frame)))]
    assert len(plain) == 4, plain
    lens = large(*(BlurRegion(region) for region in regions[:-1]))
    assert [mark.text for mark in read_text(pixels(lens.jpeg(frame)))] == ["SHOWN"]


def test_a_region_of_a_few_pixels_is_blurred_too() -> None:
    chessboard = (np.indices((360, 640)).sum(axis=0) % 2 * 255).astype(np.uint8)
    frame = frame_of(np.repeat(chessboard[:, :, None], 3, axis=2))
    for side_px in (2, 3, 4, 6, 10):
        region = (0.0, 0.0, side_px / 640, side_px / 360)
        y = large(BlurRegion(region)).filtered(frame).planes()[0].astype(int)
        assert np.ptp(y[:side_px, :side_px]) < 60 and np.ptp(y[side_px:, side_px:]) > 200
    with pytest.raises(ImageError, match="blur blocks 0"):
        BlurRegion((0, 0, 1, 1), blocks=0)


def test_filters_of_all_views_come_first_and_each_sees_what_the_one_before_left() -> None:
    everywhere, here, elsewhere = (
        MaskRegion((0, 0, 0.5, 1)),
        RgbMask((0.5, 0, 1, 1)),
        MaskRegion((0, 0, 1, 1)),
    )
    filters: dict[str, list[PictureFilter]] = {"desk": [here], "*": [everywhere], "door": [elsewhere]}
    assert filters_of(filters, "desk") == (everywhere, here)
    assert filters_of(filters, "window") == (everywhere,)
    seen = pixels(large(*filters_of(filters, "desk")).jpeg(frame_of(two_codes())))
    assert np.abs(seen.astype(int) - GREY).max() <= 4


def test_without_filters_a_lens_costs_nothing() -> None:
    for size_wh in SIZES:
        for kind in KINDS:
            for rotation_deg in ROTATIONS:
                frame = frame_of(two_codes(size_wh=size_wh), kind=kind, rotation_deg=rotation_deg)
                assert Lens().filtered(frame) is frame
                for side_px in (300, 2000):
                    lens = Lens(max_side_px=side_px, quality=70)
                    assert lens.jpeg(frame) == encode_jpeg(frame, max_side_px=side_px, quality=70)
                    small, expected = lens.small(frame), fit_frame(frame, max_side_px=side_px)
                    assert small.planes_i420 is not None and expected.planes_i420 is not None
                    assert (small.planes_i420 == expected.planes_i420).all()
    fitting = frame_of(two_codes(), kind="jpeg")
    assert Lens(max_side_px=2000).jpeg(fitting).data is fitting.jpeg


def test_with_a_filter_no_packet_is_handed_on_with_what_it_has_beside_the_picture() -> None:
    """A camera's JPEG may hold a thumbnail of the unfiltered picture."""
    thumbnail = encode_rgb(two_codes(), max_side_px=160).data
    plain = frame_of(two_codes(), kind="jpeg")
    assert plain.jpeg is not None
    segment = b"\xff\xe1" + (2 + len(thumbnail)).to_bytes(2, "big") + thumbnail
    frame = Frame(width=640, height=360, captured_s=0.0, jpeg=plain.jpeg[:2] + segment + plain.jpeg[2:])
    assert thumbnail in large().jpeg(frame).data
    assert thumbnail not in large(MaskRegion(LEFT)).jpeg(frame).data
    assert thumbnail not in large().jpeg(frame, crop=(0.5, 0, 1, 1)).data


class Odd:
    """A filter that returns something wrong, or writes to read-only arrays."""

    def __init__(self, what: str, layout: str = "i420") -> None:
        self._what = what
        if layout:
            self.layout = layout

    def apply(self, picture: tuple[U8, ...]) -> Any:
        first = picture[0]
        if self._what == "writes":
            first[:] = 0
        answers: dict[str, Callable[[], Any]] = {
            "raises": lambda: 1 // 0,
            "nothing": lambda: None,
            "bare array": lambda: first,
            "too few": lambda: picture[:-1],
            "too many": lambda: (*picture, first),
            "smaller": lambda: tuple(part[:-2, :-2] for part in picture),
            "floats": lambda: tuple(part.astype(np.float32) for part in picture),
            "lists": lambda: tuple(part.tolist() for part in picture),
            "writes": lambda: picture,
        }
        return answers[self._what]()


SHAPES = r"filter Odd must return a tuple of uint8 arrays of the given shapes: \(360, 640"
FAULTS = {
    "raises": "filter Odd failed with ZeroDivisionError",
    "writes": "filter Odd failed with ValueError",
    "nothing": SHAPES,
    "bare array": SHAPES,
    "too few": SHAPES,
    "too many": SHAPES,
    "smaller": SHAPES,
    "floats": SHAPES,
    "lists": SHAPES,
}


@pytest.mark.parametrize("kind", ["limited", "jpeg"])
@pytest.mark.parametrize("layout", ["i420", "rgb"])
@pytest.mark.parametrize("what", FAULTS)
def test_what_a_filter_fails_on_is_not_shown(
    kind: str, layout: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    frame = frame_of(two_codes(), kind=kind)
    before = None if frame.planes_i420 is None else frame.planes_i420.copy()
    lens: Any = Lens(filters=[MaskRegion(LEFT), Odd(what, layout)])  # type: ignore[list-item]  # it is no filter
    for way in (lens.jpeg, lens.small, lens.filtered, lambda frame: lens.jpeg(frame, crop=(0.5, 0, 1, 1))):
        with pytest.raises(ImageError, match=FAULTS[what]):
            way(frame)
    if before is not None:
        assert frame.planes_i420 is not None and (frame.planes_i420 == before).all()
    (record,) = caplog.records  # once, not for each picture
    assert record.levelno == logging.WARNING and record.getMessage() == "a filter fails, nothing is shown"


@pytest.mark.parametrize("layout", ["bgr", ""])
def test_a_layout_that_is_none_is_named(layout: str) -> None:
    lens = Lens(filters=[Odd("nothing", layout)])  # type: ignore[list-item]  # it is no filter
    with pytest.raises(FilterFailed, match=r"layout .*: it must be rgb or i420"):
        lens.jpeg(frame_of(two_codes()))


@pytest.mark.parametrize("crop", [None, (0.0, 0.0, 0.5, 1.0)], ids=str)
async def test_a_view_whose_filter_fails_shows_nothing_and_says_so_until_it_works(
    crop: Region | None,
) -> None:
    """Prepared ahead of time or not."""
    failing = FailingFilter()
    options = VisionOptions(max_wait_s=0.3)
    source = StillSource(frame_of(two_codes()))
    async with Vision(source=source, options=options, filters={"desk": [failing]}) as vision:
        (eye,) = vision.eyes
        for held in (False, True):
            if held:
                vision.hold()
                calls = failing.calls
                await until(lambda calls=calls: failing.calls > calls + 3)  # type: ignore[misc]
            (view,) = await vision.look(crop=crop)
            assert view.image is None and view.problem
        assert eye.encoded == 0
        failing.fails = False
        (view,) = await vision.look(crop=crop)
        assert view.image is not None and view.problem is None
        vision.release()


async def test_a_broken_packet_beside_filters_is_no_fault_of_theirs(caplog: pytest.LogCaptureFixture) -> None:
    frame = Frame(width=64, height=36, captured_s=0.0, jpeg=b"\xff\xd8 no picture")
    with pytest.raises(ImageError, match="can't be decoded"):
        large(MaskRegion(LEFT)).jpeg(frame)
    assert not caplog.records
