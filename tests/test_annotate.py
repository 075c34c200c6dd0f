from __future__ import annotations

import numpy as np
import pytest

from vision_agent import ImageError
from vision_agent.imaging.draw import COLOURS_RGB, Box, draw
from vision_agent.models.reading import read_codes, read_text
from vision_agent.sources.testcard import render


def test_a_box_is_drawn_around_its_area_on_a_copy() -> None:
    gray = np.full((200, 400, 3), 128, np.uint8)
    canvas = draw(gray, [Box(label="", xyxy=(0.25, 0.25, 0.75, 0.75))])
    assert (gray == 128).all()
    assert (canvas[50:150, 100:300] == 128).all()  # what is inside stays as it was
    for row, column in ((49, 200), (150, 200), (100, 99), (100, 300)):
        assert tuple(canvas[row, column]) == COLOURS_RGB[0]
    assert (canvas[:40] == 128).all() and (canvas[160:] == 128).all()


@pytest.mark.parametrize(
    "xyxy", [(0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.01, 0.01), (0.99, 0.99, 1.0, 1.0), (0.4, 0.0, 0.6, 0.2)]
)
@pytest.mark.parametrize("size_wh", [(640, 360), (31, 17), (1, 1)])
def test_boxes_and_labels_at_the_edges_stay_in_the_picture(
    xyxy: tuple[float, float, float, float], size_wh: tuple[int, int]
) -> None:
    picture = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    canvas = draw(picture, [Box(label="a rather long label", xyxy=xyxy)], stamp="12:00")
    assert canvas.shape == picture.shape


def test_the_label_and_the_stamp_can_be_read() -> None:
    picture = np.full((480, 640, 3), 90, np.uint8)
    canvas = draw(picture, [Box(label="Tür links", xyxy=(0.3, 0.3, 0.6, 0.6))], stamp="2026-01-02")
    said = " ".join(mark.text for mark in read_text(canvas))
    assert "links" in said and "2026-01-02" in said


def test_a_code_is_still_read_in_the_crop_of_its_box() -> None:
    card = render(1_700_000_000.0, (1280, 720))
    (mark,) = read_codes(card)
    left, top, right, bottom = mark.box_xyxy
    box = Box(label=mark.text, xyxy=(left / 1280, top / 720, right / 1280, bottom / 720))
    canvas = draw(card, [box])
    left, top, right, bottom = box.pixels_xyxy((1280, 720))
    assert (canvas[top:bottom, left:right] == card[top:bottom, left:right]).all()


@pytest.mark.parametrize("xyxy", [(0.5, 0, 0.5, 1), (0, 0, 1.1, 1), (-0.1, 0, 1, 1), (0, 0.9, 1, 0.1)])
def test_a_box_outside_the_picture_is_named(xyxy: tuple[float, float, float, float]) -> None:
    with pytest.raises(ImageError, match="'cup'"):
        Box(label="cup", xyxy=xyxy)
