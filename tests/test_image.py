from __future__ import annotations

import cv2
import numpy as np
import pytest
from livekit import rtc
from livekit.agents.utils import images

from vision_agent import EncodedImage, Frame, ImageError, encode_jpeg
from vision_agent.frame import U8, decode_jpeg
from vision_agent.image import encode_rgb, fit_within
from vision_agent.sources.testcard import render

PATCHES = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (30, 60, 200), "white": (250, 250, 250)}


def flat(rgb: tuple[int, int, int], size_wh: tuple[int, int]) -> U8:
    return np.full((size_wh[1], size_wh[0], 3), rgb, dtype=np.uint8)


def quadrants(size_wh: tuple[int, int]) -> U8:
    """Red, green / blue, white: tells every orientation from every other."""
    picture = flat(PATCHES["red"], size_wh)
    half_w, half_h = size_wh[0] // 2, size_wh[1] // 2
    picture[:half_h, half_w:] = PATCHES["green"]
    picture[half_h:, :half_w] = PATCHES["blue"]
    picture[half_h:, half_w:] = PATCHES["white"]
    return picture


def psnr_db(a: U8, b: U8) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


@pytest.mark.parametrize(
    ("size_wh", "expected_wh"),
    [((1280, 720), (512, 288)), ((720, 1280), (288, 512)), ((320, 180), (320, 180)), ((5000, 3), (512, 1))],
)
def test_fit_within_scales_down_only(size_wh: tuple[int, int], expected_wh: tuple[int, int]) -> None:
    assert fit_within(size_wh, 512) == expected_wh


@pytest.mark.parametrize("name", sorted(PATCHES))
@pytest.mark.parametrize("size_wh", [(1280, 720), (641, 361), (33, 17)], ids=str)
def test_flat_colours_survive_within_two_levels(name: str, size_wh: tuple[int, int]) -> None:
    frame = Frame.from_rgb(flat(PATCHES[name], size_wh), captured_s=0.0)
    seen = decode_jpeg(encode_jpeg(frame, max_side_px=256, quality=95).data)
    # OpenCV's conversion of the same colour: 8-bit limited-range YUV itself is up to 2 levels off
    even_i420 = cv2.cvtColor(flat(PATCHES[name], (64, 64)), cv2.COLOR_RGB2YUV_I420)
    reference = cv2.cvtColor(even_i420, cv2.COLOR_YUV2RGB_I420).mean(axis=(0, 1))
    assert np.abs(seen.mean(axis=(0, 1)) - reference).max() <= 2


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("size_wh", [(640, 360), (639, 361)], ids=str)
def test_rotation_makes_the_picture_upright(rotation_deg: int, size_wh: tuple[int, int]) -> None:
    plain = Frame.from_rgb(quadrants(size_wh), captured_s=0.0)
    assert plain.planes_i420 is not None
    frame = Frame(
        width=plain.width,
        height=plain.height,
        captured_s=0.0,
        planes_i420=plain.planes_i420,
        rotation_deg=rotation_deg,
    )
    image = encode_jpeg(frame, max_side_px=200)
    seen = decode_jpeg(image.data)
    upright = np.rot90(quadrants(size_wh), k=-(rotation_deg // 90))
    expected = cv2.resize(np.ascontiguousarray(upright), (seen.shape[1], seen.shape[0]))
    assert (image.width, image.height) == (seen.shape[1], seen.shape[0])
    assert psnr_db(seen, np.asarray(expected, dtype=np.uint8)) > 22
    assert psnr_db(frame.to_rgb(), np.ascontiguousarray(upright)) > 25


@pytest.mark.parametrize(
    "buffer_type", [rtc.VideoBufferType.RGBA, rtc.VideoBufferType.BGRA, rtc.VideoBufferType.I420], ids=int
)
def test_livekit_frames_of_any_format(buffer_type: rtc.VideoBufferType.ValueType) -> None:
    rgba = np.dstack([quadrants((640, 360)), np.full((360, 640), 255, np.uint8)])
    native = rtc.VideoFrame(640, 360, rtc.VideoBufferType.RGBA, rgba.tobytes())
    video = native if buffer_type == rtc.VideoBufferType.RGBA else native.convert(buffer_type)
    seen = decode_jpeg(encode_jpeg(video, max_side_px=640).data)
    assert psnr_db(seen, quadrants((640, 360))) > 25


def test_quality_and_size_match_what_livekit_makes() -> None:
    rgb = render(1_700_000_000.25, (1280, 720))
    frame = Frame.from_rgb(rgb, captured_s=0.0)
    ours = encode_jpeg(frame, max_side_px=512, quality=75)
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    theirs = images.encode(
        rtc.VideoFrame(1280, 720, rtc.VideoBufferType.RGBA, rgba.tobytes()),
        images.EncodeOptions(resize_options=images.ResizeOptions(512, 288, "scale_aspect_fit")),
    )

    def detail_kept_db(packet: bytes) -> float:  # against the full-size original: no filter is favoured
        enlarged = cv2.resize(decode_jpeg(packet), (1280, 720), interpolation=cv2.INTER_CUBIC)
        return psnr_db(np.asarray(enlarged, dtype=np.uint8), rgb)

    assert detail_kept_db(ours.data) > detail_kept_db(theirs) - 0.5
    assert len(ours.data) < 1.1 * len(theirs)


def test_a_jpeg_that_fits_is_handed_on_untouched() -> None:
    packet = encode_rgb(quadrants((320, 180)), max_side_px=320)
    frame = Frame(width=320, height=180, captured_s=0.0, jpeg=packet.data)
    assert encode_jpeg(frame, max_side_px=320) == packet


def test_a_larger_jpeg_is_scaled_and_turned() -> None:
    packet = encode_rgb(quadrants((1280, 720)), max_side_px=1280).data
    frame = Frame(width=1280, height=720, captured_s=0.0, jpeg=packet, rotation_deg=90)
    image = encode_jpeg(frame, max_side_px=256)
    assert (image.width, image.height) == (144, 256)
    top_left = decode_jpeg(image.data)[5:40, 5:40].mean(axis=(0, 1))
    assert np.abs(top_left - PATCHES["blue"]).max() < 12


def test_bad_values_are_named() -> None:
    frame = Frame.from_rgb(flat((0, 0, 0), (8, 8)), captured_s=0.0)
    with pytest.raises(ImageError, match="quality 0: must be from 1 to 100"):
        encode_jpeg(frame, quality=0)
    with pytest.raises(ImageError, match="max_side_px 0"):
        encode_jpeg(frame, max_side_px=0)
    with pytest.raises(ImageError, match="bytes expected"):
        Frame(width=8, height=8, captured_s=0.0, planes_i420=np.zeros(10, np.uint8))
    broken = Frame(width=640, height=480, captured_s=0.0, jpeg=b"\xff\xd8 no picture")
    with pytest.raises(ImageError, match="can't be decoded"):
        encode_jpeg(broken, max_side_px=64)


def test_data_url_holds_the_bytes() -> None:
    image = EncodedImage(data=b"abc", mime_type="image/jpeg", width=1, height=1)
    assert image.data_url() == "data:image/jpeg;base64,YWJj"
