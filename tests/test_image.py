from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
import simplejpeg
from livekit import rtc
from livekit.agents.utils import images

from vision_agent import EncodedImage, Frame, ImageError, encode_jpeg
from vision_agent.imaging.frame import U8, decode_jpeg
from vision_agent.imaging.jpeg import encode_rgb, fit_frame, fit_within
from vision_agent.imaging.pixels import to_i420
from vision_agent.imaging.scale import to_full_range
from vision_agent.publish.planes import PlaneMaker
from vision_agent.sources.testcard import render

PATCHES = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (30, 60, 200), "white": (250, 250, 250)}


@pytest.fixture(params=["ipp", "no ipp"])
def with_and_without_ipp(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run with the code paths of x86 and, on any machine, with those of ARM."""
    there = cv2.ipp.useIPP()
    if request.param == "ipp" and not there:
        pytest.skip("OpenCV has no IPP here")
    cv2.ipp.setUseIPP(request.param == "ipp")
    yield
    cv2.ipp.setUseIPP(there)


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


@pytest.mark.usefixtures("with_and_without_ipp")
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


T = rtc.VideoBufferType


def in_format(rgb: U8, buffer_type: rtc.VideoBufferType.ValueType) -> bytes:
    """The picture as a buffer of this format, by the formulas of BT.601, pixel by pixel."""
    height, width = rgb.shape[:2]
    alpha = np.full((height, width, 1), 255, np.uint8)
    packed = {
        T.RGBA: (rgb, alpha),
        T.ABGR: (alpha, rgb[..., ::-1]),
        T.ARGB: (alpha, rgb),
        T.BGRA: (rgb[..., ::-1], alpha),
        T.RGB24: (rgb,),
    }
    if buffer_type in packed:
        return np.concatenate(packed[buffer_type], axis=2).tobytes()
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    step_w, step_h = {T.I444: (1, 1), T.I422: (2, 1)}.get(buffer_type, (2, 2))
    u, v = (c[::step_h, ::step_w] for c in (u, v))  # flat areas: any siting does
    if buffer_type == T.I010:
        return b"".join(np.rint(c * 4).astype("<u2").tobytes() for c in (y, u, v))
    y8, u8, v8 = (np.rint(c).astype(np.uint8) for c in (y, u, v))
    if buffer_type == T.NV12:
        return y8.tobytes() + np.stack([u8, v8], axis=-1).tobytes()
    return b"".join(c.tobytes() for c in (y8, u8, v8)) + (alpha.tobytes() if buffer_type == T.I420A else b"")


@pytest.mark.parametrize("size_wh", [(640, 360), (321, 181), (1, 1), (5, 2)], ids=str)
@pytest.mark.parametrize("name", T.keys())
def test_colours_of_every_livekit_format(name: str, size_wh: tuple[int, int]) -> None:
    for rgb in PATCHES.values():
        video = rtc.VideoFrame(*size_wh, T.Value(name), in_format(flat(rgb, size_wh), T.Value(name)))
        image = encode_jpeg(video, max_side_px=200, quality=95)
        assert max(image.width, image.height) == min(200, max(size_wh))
        assert np.abs(decode_jpeg(image.data).mean(axis=(0, 1)) - rgb).max() <= 2


@pytest.mark.parametrize("name", T.keys())
def test_places_of_every_livekit_format(name: str) -> None:
    picture = quadrants((322, 182))
    video = rtc.VideoFrame(322, 182, T.Value(name), in_format(picture, T.Value(name)))
    assert psnr_db(decode_jpeg(encode_jpeg(video, max_side_px=322).data), picture) > 25


@pytest.mark.parametrize("name", T.keys())
def test_a_buffer_that_is_too_short_is_an_error(name: str) -> None:
    with pytest.raises(ImageError, match="are not a picture of 64x36"):
        to_i420(bytes(1000), (64, 36), T.Value(name))


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(ImageError, match="pixel format 99"):
        to_i420(bytes(10), (1, 1), 99)


def bt709_planes(rgb: tuple[int, int, int], size_wh: tuple[int, int], *, full_range: bool) -> U8:
    """Compute flat planes by ITU-R BT.709-6, 3.2 to 3.5."""
    r, g, b = (value / 255 for value in rgb)
    luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
    cb, cr = (b - luma) / 1.8556, (r - luma) / 1.5748
    wide = (255 * luma, 128 + 255 * cb, 128 + 255 * cr)
    levels = wide if full_range else (16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr)
    counts = (size_wh[0] * size_wh[1], *[(size_wh[0] + 1) // 2 * ((size_wh[1] + 1) // 2)] * 2)
    flat_planes = [np.full(count, round(level)) for count, level in zip(counts, levels, strict=True)]
    return np.concatenate(flat_planes).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
def test_colours_of_bt709(full_range: bool) -> None:
    for rgb in PATCHES.values():
        planes = bt709_planes(rgb, (321, 181), full_range=full_range)
        frame = Frame(
            width=321, height=181, captured_s=0.0, planes_i420=planes, full_range=full_range, bt709=True
        )
        image = encode_jpeg(frame, max_side_px=200, quality=95)
        size_wh, limited = PlaneMaker().limited_i420(frame)
        published = Frame(width=size_wh[0], height=size_wh[1], captured_s=0.0, planes_i420=limited)
        ways = (
            decode_jpeg(image.data),
            fit_frame(frame, max_side_px=200).to_rgb(),
            frame.to_rgb(),
            published.to_rgb(),
        )
        for seen in ways:
            assert np.abs(seen.mean(axis=(0, 1)) - rgb).max() <= 3, rgb


@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
def test_both_ranges_reach_black_and_white(full_range: bool) -> None:
    levels = (0, 128, 255) if full_range else (16, 126, 235)
    for luma, grey in zip(levels, (0, 128, 255), strict=True):
        planes = np.concatenate([np.full(64 * 36, luma), np.full(2 * 32 * 18, 128)]).astype(np.uint8)
        frame = Frame(width=64, height=36, captured_s=0.0, planes_i420=planes, full_range=full_range)
        seen = decode_jpeg(encode_jpeg(frame, max_side_px=32, quality=95).data)
        assert np.abs(seen.astype(int) - grey).max() <= 2


def test_the_border_of_an_odd_picture_is_as_flat_as_the_rest() -> None:
    """The encoder reads one row and one column too many; they must not come from other memory."""
    for size_wh in ((5, 5), (6, 5), (5, 6), (113, 201)):
        frame = Frame.from_rgb(flat((90, 90, 90), size_wh), captured_s=0.0)
        for _ in range(20):
            scratch = np.random.default_rng(0).integers(0, 256, size_wh[0] * size_wh[1], dtype=np.uint8)
            del scratch  # leaves its pattern where the next small array may lie
            seen = decode_jpeg(encode_jpeg(frame, max_side_px=201, quality=95).data)
            assert seen.max() - seen.min() <= 1


def test_levels_outside_the_limited_range_are_clipped() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    y, u, v = to_full_range(levels, levels, levels)
    exact = np.arange(256.0).reshape(16, 16)
    assert np.abs(y - np.clip((exact - 16) * 255 / 219, 0, 255)).max() <= 0.5001
    for chroma in (u, v):
        assert np.abs(chroma - np.clip((exact - 128) * 255 / 224 + 128, 0, 255)).max() <= 0.6


def clouds(size_wh: tuple[int, int]) -> U8:
    """Random amplitudes that fall with frequency as those of photographs do (1/f), in colour."""
    width, height = size_wh
    rng = np.random.default_rng(7)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    grey, *tints = (
        np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) / frequency, s=(height, width))
        for _ in range(4)
    )
    picture = np.stack([grey + 0.3 * tint for tint in tints], axis=-1)
    return np.asarray(np.clip(128 + 50 * picture / picture.std(), 0, 255), dtype=np.uint8)


def print_page(size_wh: tuple[int, int]) -> U8:
    page = flat((245, 245, 240), size_wh)
    for line, top in enumerate(range(20, size_wh[1], 22)):
        text = f"{line:02d} The quick brown fox jumps over the lazy dog 0123456789 " * 3
        cv2.putText(page, text, (8, top), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 30), 1, cv2.LINE_AA)
    return page


SCENES: dict[str, Callable[[tuple[int, int]], U8]] = {
    "testcard": lambda size_wh: render(1_700_000_000.25, size_wh),
    "clouds": clouds,
    "print": print_page,
}


def their_jpeg(frame: Frame, size_wh: tuple[int, int], quality: int) -> bytes:
    video = i420_video(frame)
    resize = images.ResizeOptions(*size_wh, "skew")
    return images.encode(video, images.EncodeOptions(quality=quality, resize_options=resize))


def i420_video(frame: Frame) -> rtc.VideoFrame:
    assert frame.planes_i420 is not None
    return rtc.VideoFrame(frame.width, frame.height, T.I420, frame.planes_i420.tobytes())


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(
    ("size_wh", "max_side_px"),
    [
        ((1280, 720), 512),
        ((1920, 1080), 768),
        ((1280, 720), 768),  # by less than two
        ((1280, 720), 850),  # by one and a half
        ((1280, 720), 1024),  # by little
        ((1280, 720), 1100),  # by even less
        ((1920, 1080), 490),  # by almost four
        ((1281, 721), 512),  # odd
        ((720, 1280), 512),  # portrait
    ],
    ids=str,
)
@pytest.mark.usefixtures("with_and_without_ipp")
def test_detail_and_bytes_match_what_livekit_makes(
    scene: str, size_wh: tuple[int, int], max_side_px: int
) -> None:
    frame = Frame.from_rgb(SCENES[scene](size_wh), captured_s=0.0)
    ours = encode_jpeg(frame, max_side_px=max_side_px, quality=75)
    theirs = their_jpeg(frame, (ours.width, ours.height), 75)
    original = frame.to_rgb()

    def detail_kept_db(packet: bytes) -> float:  # against the full-size original: no filter is favoured
        enlarged = cv2.resize(decode_jpeg(packet), size_wh, interpolation=cv2.INTER_CUBIC)
        return psnr_db(np.asarray(enlarged, dtype=np.uint8), original)

    assert detail_kept_db(ours.data) > detail_kept_db(theirs) - 0.5
    ratio = len(ours.data) / len(theirs)
    assert 0.9 < ratio < 1.1


@pytest.mark.usefixtures("with_and_without_ipp")
@pytest.mark.parametrize("scene", SCENES)
def test_scaling_is_as_near_to_the_mean_over_the_area_as_livekits(scene: str) -> None:
    frame = Frame.from_rgb(SCENES[scene]((1280, 720)), captured_s=0.0)
    exact = cv2.resize(frame.to_rgb().astype(np.float32), (512, 288), interpolation=cv2.INTER_AREA)
    reference = np.clip(np.rint(exact), 0, 255).astype(np.uint8)
    ours = decode_jpeg(encode_jpeg(frame, max_side_px=512, quality=75).data)
    theirs = decode_jpeg(their_jpeg(frame, (512, 288), 75))
    assert psnr_db(ours, reference) > psnr_db(theirs, reference) - 0.5


@pytest.mark.usefixtures("with_and_without_ipp")
@pytest.mark.parametrize(("size_wh", "max_side_px"), [((1280, 720), 512), ((1920, 1080), 768)], ids=str)
def test_the_fast_path_stays_fast(size_wh: tuple[int, int], max_side_px: int) -> None:
    """Ratios of the best of several runs in turn: they also hold on a slow or busy machine."""
    frame = Frame.from_rgb(render(1_700_000_000.25, size_wh), captured_s=0.0)
    video = i420_video(frame)
    image = encode_jpeg(video, max_side_px=max_side_px)
    small = Frame.from_rgb(decode_jpeg(image.data), captured_s=0.0).planes()
    resize = images.ResizeOptions(image.width, image.height, "skew")

    def floor() -> None:
        for plane in frame.planes():
            plane.copy()
        simplejpeg.encode_jpeg_yuv_planes(*small, quality=80)

    routes: dict[str, Callable[[], object]] = {
        "ours": lambda: encode_jpeg(video, max_side_px=max_side_px),
        "floor": floor,
        "livekit": lambda: images.encode(video, images.EncodeOptions(quality=80, resize_options=resize)),
    }
    best_s = dict.fromkeys(routes, float("inf"))
    for _ in range(120):
        for name, route in routes.items():
            started_s = time.perf_counter()
            route()
            best_s[name] = min(best_s[name], time.perf_counter() - started_s)
        if best_s["ours"] < 3.5 * best_s["floor"] and best_s["livekit"] > 12 * best_s["ours"]:
            return
    assert best_s["ours"] < 4 * best_s["floor"], best_s
    # when nothing disturbs 16 and more, without IPP 12; there a busy machine showed 9.7
    least = 10 if cv2.ipp.useIPP() else 6
    assert best_s["livekit"] > least * best_s["ours"], best_s


def test_a_jpeg_that_fits_is_handed_on_untouched() -> None:
    packet = encode_rgb(quadrants((320, 180)), max_side_px=320)
    frame = Frame(width=320, height=180, captured_s=0.0, jpeg=packet.data)
    assert encode_jpeg(frame, max_side_px=320) == packet


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("size_wh", [(1280, 720), (641, 361)], ids=str)
def test_a_larger_jpeg_is_scaled_and_turned(size_wh: tuple[int, int], rotation_deg: int) -> None:
    packet = encode_rgb(quadrants(size_wh), max_side_px=1280, quality=95).data
    frame = Frame(width=size_wh[0], height=size_wh[1], captured_s=0.0, jpeg=packet, rotation_deg=rotation_deg)
    image = encode_jpeg(frame, max_side_px=256)
    seen = decode_jpeg(image.data)
    upright = np.ascontiguousarray(np.rot90(quadrants(size_wh), k=-(rotation_deg // 90)))
    expected = cv2.resize(upright, (image.width, image.height), interpolation=cv2.INTER_AREA)
    assert max(image.width, image.height) == 256 and seen.shape == expected.shape
    assert psnr_db(seen, np.asarray(expected, dtype=np.uint8)) > 22


def test_a_larger_jpeg_keeps_its_detail() -> None:
    packet = encode_rgb(clouds((1920, 1080)), max_side_px=1920, quality=95).data
    rgb = decode_jpeg(packet)
    exact = cv2.resize(rgb.astype(np.float32), (768, 432), interpolation=cv2.INTER_AREA)
    reference = np.asarray(np.rint(exact), dtype=np.uint8)
    frame = Frame(width=1920, height=1080, captured_s=0.0, jpeg=packet)
    scaled_while_decoding = decode_jpeg(encode_jpeg(frame, max_side_px=768).data)
    scaled_afterwards = decode_jpeg(encode_rgb(rgb, max_side_px=768).data)
    assert psnr_db(scaled_while_decoding, reference) > psnr_db(scaled_afterwards, reference) - 1


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
