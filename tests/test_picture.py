"""Foreign picture files: what becomes of good and bad ones, and what it costs."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageOps

from vision_agent import ImageError
from vision_agent.imaging.files import read_picture
from vision_agent.imaging.frame import decode_jpeg

from .decoders import many_scans
from .files import CARD, FORMATS, bomb, file_of

# the peak of /proc, as that of getrusage is inherited from the process that starts this one
MEASURE = """
import re, sys
from pathlib import Path
from vision_agent.imaging.files import read_picture

def peak_kb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

small, large, pixels = sys.argv[1:]
read_picture(Path(small).read_bytes())
data, before_kb = Path(large).read_bytes(), peak_kb()
image = read_picture(data)
assert max(image.width, image.height) == 768
print((peak_kb() - before_kb) * 1024 / int(pixels))
"""


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "a camera"
    return exif


def pixels_of(data: bytes, max_side_px: int = 768) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return decode_jpeg(read_picture(data, max_side_px=max_side_px).data).astype(np.int64)


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_becomes_a_jpeg_that_fits(format: str) -> None:
    image = read_picture(file_of(format), max_side_px=320)
    assert (image.mime_type, image.width, image.height) == ("image/jpeg", 320, 180)
    small = np.asarray(CARD.resize((320, 180), Image.Resampling.BOX), dtype=np.int64)
    assert np.abs(pixels_of(file_of(format), 320) - small).mean() < 6


def test_of_several_pictures_the_first_counts() -> None:
    others = [CARD.rotate(180), CARD.rotate(90)]
    for format in ("GIF", "WEBP", "PNG", "MPO"):  # MPO is the JPEG of phones that keep a second picture in it
        file = file_of(format, save_all=True, append_images=others)
        assert np.abs(pixels_of(file) - np.asarray(CARD)).mean() < 6, format


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_is_turned_upright(format: str, orientation: int) -> None:
    turned = Image.new("RGB", (40, 40))
    turned.paste(CARD.resize((40, 40)))
    exif = exif_of(orientation)
    turned.getexif()[ExifTags.Base.Orientation] = orientation
    upright = np.asarray(ImageOps.exif_transpose(turned), dtype=np.int64)
    assert np.abs(pixels_of(file_of(format, turned, exif=exif, quality=95)) - upright).mean() < 8


def test_exif_is_turned_upright_when_it_is_scaled() -> None:
    sideways = CARD.transpose(Image.Transpose.ROTATE_90)
    image = read_picture(file_of("JPEG", sideways, exif=exif_of(6)), max_side_px=320)
    assert (image.width, image.height) == (320, 180)


def drawn(mode: str) -> Image.Image:
    """A red disc on nothing where the mode has such a thing, else on a darker ground."""
    disc = Image.new("L", (600, 400), 0)
    ImageDraw.Draw(disc).ellipse((150, 50, 450, 350), fill=255)
    picture = Image.new("RGB", disc.size, (200, 40, 40))
    if mode in ("RGBA", "LA"):
        picture.putalpha(disc)
    else:
        picture = Image.composite(picture, Image.new("RGB", disc.size, (90, 140, 30)), disc)
    if mode == "I;16":
        return Image.fromarray(np.asarray(picture.convert("L"), dtype=np.uint16) * 257)
    if mode == "P" and picture.mode == "RGB":
        return picture.quantize(64, dither=Image.Dither.NONE)
    return picture.convert(mode, dither=Image.Dither.NONE)


@pytest.mark.parametrize("max_side_px", [768, 450, 100])
@pytest.mark.parametrize(
    ("format", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("GIF", mode) for mode in ("L", "P", "RGBA")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    ],
)
def test_every_kind_of_pixel_keeps_its_colour(format: str, mode: str, max_side_px: int) -> None:
    picture = drawn(mode)
    shown = pixels_of(
        file_of(format, picture, **({"lossless": True} if format == "WEBP" else {})), max_side_px
    )
    expected = Image.new("RGBA", picture.size, "white")
    colours = drawn("L") if mode == "I;16" else picture
    expected.alpha_composite(colours.convert("RGBA"))
    size_wh = (shown.shape[1], shown.shape[0])
    wanted = np.asarray(expected.convert("RGB").resize(size_wh, Image.Resampling.BOX), dtype=np.int64)
    assert np.abs(shown - wanted).mean() < 3
    middle = slice(size_wh[1] // 2 - 4, size_wh[1] // 2 + 4), slice(size_wh[0] // 2 - 4, size_wh[0] // 2 + 4)
    assert np.abs(shown[middle].mean(axis=(0, 1)) - wanted[middle].mean(axis=(0, 1))).max() < 6


def test_one_transparent_colour_is_put_on_white() -> None:
    for mode, colour in (("L", 7), ("RGB", (7, 8, 9)), ("P", 7), ("I;16", 0x0708)):
        ground = Image.new(mode, (32, 32), colour)
        if mode == "P":
            ground.putpalette(bytes(n for n in range(16) for _ in "rgb"))
        assert pixels_of(file_of("PNG", ground, transparency=colour)).min() >= 250, mode
        assert pixels_of(file_of("PNG", ground)).max() < 60, mode


def test_transparency_is_put_on_white_and_what_is_under_it_leaves_no_edge() -> None:
    assert pixels_of(file_of("PNG", Image.new("RGBA", (32, 32), (255, 0, 0, 0)))).min() >= 250
    stripes = np.full((64, 64, 4), 255, dtype=np.uint8)
    stripes[:, ::2] = (0, 0, 0, 0)  # black, but nothing of it is to be seen
    assert pixels_of(file_of("PNG", Image.fromarray(stripes)), 32).min() >= 250


@pytest.mark.parametrize("size_wh", [(5000, 3), (3, 5000), (1, 4000), (1537, 1023), (3073, 2047), (1, 1)])
def test_odd_sizes_are_filled_to_the_last_pixel(size_wh: tuple[int, int]) -> None:
    shown = pixels_of(file_of("PNG", Image.new("RGB", size_wh, (10, 200, 90))), 100)
    assert max(shown.shape[:2]) == min(100, max(size_wh))
    assert np.abs(shown - (10, 200, 90)).max() <= 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"hello, I am text", "not a picture"),
        (b"", "not a picture"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "not a picture"),
        (file_of("JPEG")[:3000], "broken"),
        (file_of("PNG")[:3000], "broken"),
        (file_of("WEBP")[:3000], "broken"),
        (file_of("WEBP")[:20], "broken"),
        (file_of("GIF")[:12], "broken"),
        (b"\xff\xd8\xff", "broken"),
        (bomb(), "pixels"),
        (file_of("BMP"), "not a picture"),
    ],
    ids=[
        *("text", "empty", "wave", "cut-jpeg", "cut-png", "cut-webp", "webp-header", "gif-header"),
        *("jpeg-start", "bomb", "bmp"),
    ],
)
def test_bad_files_are_named(data: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=said) as caught:
        read_picture(data)
    assert "\n" not in str(caught.value)


def test_only_the_limit_that_is_set_counts() -> None:
    with pytest.raises(ImageError, match="30000x30000 pixels: at most 800000000 are accepted"):
        read_picture(bomb(), max_pixels=800_000_000)  # more than Pillow takes of its own accord
    frame_beyond_its_screen = bytearray(file_of("GIF", Image.new("L", (1, 1))))
    at = frame_beyond_its_screen.rindex(b",")
    frame_beyond_its_screen[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(ImageError, match="too many pixels: at most 1000000 are accepted"):
        read_picture(bytes(frame_beyond_its_screen), max_pixels=1_000_000)
    large = file_of("PNG", Image.new("1", (12_000, 8_000)))  # Pillow would warn of so many
    with pytest.raises(ImageError, match="12000x8000 pixels: at most 50000000"):
        read_picture(large)
    assert read_picture(large, max_pixels=100_000_000).width == 768


TOO_MANY = "more than 100 scans in the JPEG: at most 100 are accepted"


def test_a_jpeg_of_too_many_scans_is_refused_before_it_is_decoded() -> None:
    assert read_picture(many_scans(100)).width == 700
    with pytest.raises(ImageError, match=TOO_MANY):
        read_picture(many_scans(101))
    began_s = time.process_time()
    with pytest.raises(ImageError, match=TOO_MANY):
        read_picture(many_scans(10_000, 7000))
    assert time.process_time() - began_s < 1  # decoding it takes minutes


def test_scans_are_found_wherever_a_decoder_finds_them() -> None:
    data = many_scans(101)
    tables = data.index(b"\xff\xdb")
    end = tables + 2 + int.from_bytes(data[tables + 2 : tables + 4], "big")
    amid_scan = data.index(b"\xff\xda") + 20
    for hidden in (
        # a file of tables only, and after it the picture
        data[:2] + data[tables:end] + b"\xff\xd9" + data,
        # a restart or nothing, which only look like the start of a segment of 65535 bytes
        data[:amid_scan] + b"\xff\xd3\xff\xff" + data[amid_scan:],
        data[:amid_scan] + b"\xff\x01\xff\xff" + data[amid_scan:],
    ):
        with pytest.raises(ImageError, match=TOO_MANY):
            read_picture(hidden)


def test_what_only_looks_like_scans_does_not_count() -> None:
    scans = b"\xff\xda\x00\x08" * 1000
    data = file_of("JPEG", progressive=True, comment=scans)  # as of a thumbnail
    assert np.array_equal(
        pixels_of(data + scans), pixels_of(file_of("JPEG", progressive=True))
    )  # as of a film


def test_the_quality_is_the_one_that_is_asked_for() -> None:
    sizes = [len(read_picture(file_of("PNG"), quality=quality).data) for quality in (1, 40, 80, 100)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] / 3
    assert read_picture(file_of("PNG")) == read_picture(file_of("PNG"), quality=80)
    for quality in (0, 101):
        with pytest.raises(ImageError, match=f"quality {quality}: must be from 1 to 100"):
            read_picture(file_of("PNG"), quality=quality)


@pytest.mark.filterwarnings("ignore")  # of what is odd in a file; outside of the tests they stop nothing
def test_whatever_the_bytes_it_is_a_picture_or_an_image_error() -> None:
    chance, card = random.Random(7), CARD.resize((48, 32))
    good = [
        *(file_of("JPEG", card, exif=exif_of(orientation)) for orientation in (6, 3)),
        file_of("JPEG", card, exif=exif_of(5), progressive=True),
        *(file_of("PNG", card.convert(mode), exif=exif_of(8)) for mode in ("RGB", "P", "LA")),
        *(file_of("WEBP", card, exif=exif_of(6), lossless=lossless) for lossless in (True, False)),
        file_of("GIF", card, save_all=True, append_images=[card.rotate(180)]),
    ]
    read = refused = 0
    for n in range(20_000):
        data = bytearray(good[n % len(good)])
        for _ in range(chance.choice((1, 1, 2, 8))):
            # most of what decides is at the front: header and EXIF
            at = chance.randrange(min(len(data), chance.choice((140, 400, len(data)))))
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        try:
            image = read_picture(bytes(data), max_pixels=1_000_000)
        except ImageError:
            refused += 1
        else:
            read += 1
            assert max(image.width, image.height) <= 768
    assert read > 1_000 and refused > 1_000


@pytest.mark.parametrize(
    ("format", "mode", "most"),
    [("PNG", "RGBA", 8), ("PNG", "RGB", 8), ("GIF", "P", 5), ("WEBP", "RGBA", 11), ("JPEG", "RGB", 3)],
)
def test_a_large_picture_costs_few_bytes_a_pixel(tmp_path: Path, format: str, mode: str, most: int) -> None:
    colour = 7 if mode == "P" else (200, 30, 40, 128)[: len(mode)]
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(file_of(format, Image.new(mode, (8, 8))))
    large.write_bytes(file_of(format, Image.new(mode, (4000, 3000), colour)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, small, large, str(4000 * 3000)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert float(done.stdout) < most, "bytes a pixel"
