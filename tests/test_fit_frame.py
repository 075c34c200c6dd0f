"""The frames for a realtime model show the same as the pictures for other models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vision_agent import Frame, ImageError, encode_jpeg
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.imaging.jpeg import encode_rgb, fit_frame
from vision_agent.sources.testcard import render

CARD = render(1_700_000_000.0, (1280, 720))


def full_range(frame: Frame) -> Frame:
    y, u, v = (plane.astype(np.float32) for plane in frame.planes())
    wide = [(y - 16) * 255 / 219, (u - 128) * 255 / 224 + 128, (v - 128) * 255 / 224 + 128]
    packed = np.concatenate([np.clip(np.rint(plane), 0, 255).astype(np.uint8).reshape(-1) for plane in wide])
    return replace(frame, planes_i420=packed, full_range=True)


@pytest.mark.parametrize("size_wh", [(1280, 720), (641, 361)], ids=str)
@pytest.mark.parametrize("route", ["limited", "full", "jpeg"])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_it_shows_what_encode_jpeg_shows(size_wh: tuple[int, int], route: str, rotation_deg: int) -> None:
    rgb = np.ascontiguousarray(CARD[: size_wh[1], : size_wh[0]])
    frame = Frame.from_rgb(rgb, captured_s=1.0)
    if route == "full":
        frame = full_range(frame)
    if route == "jpeg":
        packet = encode_rgb(rgb, max_side_px=2000, quality=95).data
        frame = Frame(width=size_wh[0], height=size_wh[1], captured_s=1.0, jpeg=packet, full_range=True)
    frame = replace(frame, rotation_deg=rotation_deg)
    small = fit_frame(frame, max_side_px=512)
    image = encode_jpeg(frame, max_side_px=512, quality=95)
    assert (small.width, small.height) == (image.width, image.height)
    assert not small.full_range and small.rotation_deg == 0 and small.captured_s == 1.0
    assert np.abs(small.to_rgb().astype(int) - decode_jpeg(image.data)).mean() < 4


def test_it_never_scales_up() -> None:
    small = fit_frame(Frame.from_rgb(CARD[:90, :160], captured_s=0.0), max_side_px=512)
    assert (small.width, small.height) == (160, 90)


def test_a_side_below_one_is_named() -> None:
    with pytest.raises(ImageError, match="max_side_px 0"):
        fit_frame(Frame.from_rgb(CARD, captured_s=0.0), max_side_px=0)
