"""What docs/filters.md shows works as it stands."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import cv2

from vision_agent import Vision
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.testing.server import LocalServer
from vision_agent.views.lens import Lens

from .filtering import frame_of, spectating, texts_in, two_codes, write_still_clip
from .publishing import LIVE, access_to
from .waiting import until

PAGE = (Path(__file__).parents[1] / "docs/filters.md").read_text(encoding="utf-8")


def names_of(number: int, **changed: str) -> dict[str, Any]:
    """Run a block of the page; return what it defines."""
    block = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[number]
    for before, after in changed.items():
        block = block.replace(before.replace("_", "."), after)
    found: dict[str, Any] = {}
    exec(compile(block, "docs/filters.md", "exec"), found)
    return found


async def test_filters_are_set_as_the_page_says() -> None:
    vision: Vision = names_of(0)["look_with_filters"]()
    async with vision:
        (view,) = await vision.look()
    assert view.image is not None and view.view == "testcard"
    picture = decode_jpeg(view.image.data)
    assert texts_in(picture) == set()
    assert picture[40:320, 4:270].max() - int(picture[40:320, 4:270].min()) <= 8


def test_a_filter_of_ones_own_is_written_as_the_page_says() -> None:
    frame = frame_of(two_codes())
    plain = decode_jpeg(Lens(max_side_px=640).jpeg(frame).data)
    assert texts_in(plain) == {"HIDDEN", "SHOWN"}
    hidden = decode_jpeg(Lens(filters=[names_of(1)["HideCodes"]()], max_side_px=640).jpeg(frame).data)
    assert texts_in(hidden) == set()
    assert not cv2.QRCodeDetector().detectMulti(hidden)[0]


async def test_a_publisher_takes_filters_as_the_page_says(server: LocalServer, tmp_path: Path) -> None:
    clip = write_still_clip(tmp_path / "clip.mp4", two_codes(), options={**LIVE, "g": "15"})
    publish = names_of(2, clip_mp4=str(clip))["publish"]
    async with spectating(server) as spectator:
        running = asyncio.create_task(publish(access_to(server)))
        try:
            await until(lambda: spectator.count >= 5 and bool(spectator.texts))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert spectator.texts == {"SHOWN"}
