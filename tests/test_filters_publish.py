"""What a publisher with a filter sends: nothing of the covered part arrives at the viewer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PIL import Image

from vision_agent import Frame, SourceError
from vision_agent.publish.counts import PublishCounts
from vision_agent.publish.feed import Feed
from vision_agent.publish.publisher import PublishState
from vision_agent.sources.decoding import PictureDecoder
from vision_agent.testing.server import LocalServer
from vision_agent.views.filters import BlurRegion, MaskRegion, PictureFilter
from vision_agent.views.lens import Lens

from .filtering import (
    FailingFilter,
    RgbMask,
    StillSource,
    frame_of,
    publishing_with,
    spectating,
    two_codes,
    write_still_clip,
)
from .publishing import LIVE
from .waiting import until
from .watching import opened

LEFT = (0.0, 0.0, 0.5, 1.0)
BOTH = {"HIDDEN", "SHOWN"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stream that would pass through without a filter."""
    path = tmp_path_factory.mktemp("filters") / "clip.mp4"
    return write_still_clip(path, two_codes(), options={**LIVE, "preset": "ultrafast", "g": "15"})


async def test_without_a_filter_it_passes_through_and_all_of_it_is_seen(
    server: LocalServer, clip: Path
) -> None:
    async with spectating(server) as spectator, publishing_with([], clip, server) as publisher:
        await until(lambda: spectator.texts == BOTH)
        assert publisher.state.route == "passthrough" and publisher.why_encoded is None


@pytest.mark.parametrize("make", [MaskRegion, BlurRegion, RgbMask])
async def test_with_a_filter_h264_does_not_pass_through(
    server: LocalServer, clip: Path, make: Callable[[tuple[float, float, float, float]], PictureFilter]
) -> None:
    async with spectating(server) as spectator, publishing_with([make(LEFT)], clip, server) as publisher:
        await until(lambda: "SHOWN" in spectator.texts and spectator.count >= 20)
        state = publisher.state
        assert (state.route, state.size_wh, state.problem) == ("encoded", (640, 360), None)
        assert publisher.why_encoded == "a filter is set"
    assert spectator.texts == {"SHOWN"}


@pytest.mark.parametrize("what", ["forced", "reordered", "mjpeg", "picture"])
async def test_nor_is_anything_seen_of_what_is_encoded_in_any_case(
    server: LocalServer, clip: Path, tmp_path: Path, what: str
) -> None:
    path = clip
    if what == "reordered":
        path = write_still_clip(tmp_path / "clip.mp4", two_codes(), options={"preset": "veryfast", "bf": "3"})
    elif what == "mjpeg":
        path = write_still_clip(tmp_path / "clip.avi", two_codes(), codec="mjpeg", options={"qscale": "3"})
    elif what == "picture":
        Image.fromarray(two_codes()).save(path := tmp_path / "one.jpg", quality=95)
    forced = what == "forced"
    async with publishing_with([], path, server, encode=forced), spectating(server) as spectator:
        await until(lambda: spectator.texts == BOTH)
    async with publishing_with([MaskRegion(LEFT)], path, server, encode=forced), spectating(server) as late:
        await until(lambda: "SHOWN" in late.texts and late.count >= 10)
    assert late.texts == {"SHOWN"}


@pytest.mark.parametrize(("kind", "rotation_deg"), [("limited", 90), ("full bt709", 180), ("jpeg", 270)])
async def test_a_turned_picture_is_covered_where_the_upright_one_is_and_comes_upright(
    server: LocalServer, kind: str, rotation_deg: int
) -> None:
    source = StillSource(frame_of(two_codes(), kind=kind, rotation_deg=rotation_deg))
    async with spectating(server) as spectator:
        async with publishing_with([MaskRegion(LEFT)], source, server) as publisher:
            await until(lambda: "SHOWN" in spectator.texts and spectator.count >= 10)
            assert publisher.state.size_wh == (640, 360)
    assert spectator.texts == {"SHOWN"}
    frame = spectator.latest
    assert frame is not None and frame.rotation_deg == 0 and frame.width > frame.height


async def test_while_a_filter_fails_nothing_is_sent_and_it_is_said_until_it_works(
    server: LocalServer, clip: Path
) -> None:
    failing, states = FailingFilter(), list[PublishState]()
    filters: list[PictureFilter] = [failing, MaskRegion(LEFT)]
    problem = "filter FailingFilter failed with ValueError"
    async with spectating(server) as spectator:
        async with publishing_with(filters, clip, server, on_change=states.append) as publisher:
            await until(lambda: publisher.state.problem == problem and failing.calls >= 20)
            assert publisher.counts.sent == 0 and publisher.counts.dropped >= 20
            await until(lambda: spectator.latest is not None)
            assert spectator.latest is not None and spectator.texts == set()
            assert spectator.latest.planes()[0].max() <= 20  # the SDK sends black until there is something
            failing.fails = False
            await until(lambda: publisher.state.problem is None and "SHOWN" in spectator.texts)
            assert [state.problem for state in states if state.published][-2:] == [problem, None]
    assert spectator.texts == {"SHOWN"}


async def test_a_source_that_comes_back_does_not_pass_through_either(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a source fails, the reason why it was encoded is reset: it may come back as another stream."""
    source, decoders = opened(clip), list[object]()

    async def frames() -> AsyncIterator[Frame]:
        decoders.append(source.decoder)
        yield frame_of(two_codes())
        raise SourceError("camera: gone")

    monkeypatch.setattr(source, "frames", frames)
    feed = Feed(source, counts=PublishCounts(), lens=Lens(filters=[MaskRegion(LEFT)]))
    reading = asyncio.create_task(feed.run())
    try:
        await until(lambda: len(decoders) >= 3)
        assert decoders == [PictureDecoder] * len(decoders) and feed.why_encoded == "a filter is set"
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
