"""Which views a turn looks at, and what a view that shows nothing costs."""

from __future__ import annotations

import asyncio
import time

import pytest

from vision_agent import ConfigError, ImageError, Vision, VisionOptions
from vision_agent.demand import Demand
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.models.reading import read_codes
from vision_agent.testing.cards import CardSource
from vision_agent.views.choice import AllViews, ViewState

from .waiting import until


def state(name: str, owner: str = "", problem: str | None = None) -> ViewState:
    return ViewState(name=name, owner=owner, problem=problem)


def test_the_askers_own_views_come_first_and_those_that_show_nothing_do_not_count() -> None:
    views = [state("a", "ann"), state("b", "bob", "it is muted"), state("c", "carl"), state("d", "carl")]
    assert AllViews(limit=2).choose(views, asked_by="") == ["a", "c", "b"]
    assert AllViews(limit=2).choose(views, asked_by="carl") == ["c", "d", "b"]
    assert AllViews(limit=3).choose(views, asked_by="carl") == ["c", "d", "a", "b"]
    with pytest.raises(ConfigError, match="limit = 0: must be from 1 to 100 views"):
        AllViews(limit=0)


class Cards(Vision):
    """Several testcards in one ``Vision``, like the cameras of a robot."""

    def __init__(self, *sources: CardSource, options: VisionOptions | None = None, limit: int = 8) -> None:
        super().__init__(source=None, options=options, policy=AllViews(limit=limit))
        self.sources = sources

    def open(self) -> None:
        super().open()
        for source in self.sources:
            self._add(source)


async def test_a_look_takes_the_views_that_are_named() -> None:
    front, rear = CardSource("front"), CardSource("rear")
    rear.moment_s += 60
    async with Cards(front, rear) as vision:
        await vision.opened()
        (seen,) = await vision.look(["rear"])
        assert seen.view == "rear" and seen.image is not None
        assert read_codes(decode_jpeg(seen.image.data))[0].text == "VA-1700000060"
        (lost,) = await vision.look(["cellar"])
        assert lost.problem == "there is no such view; there is 'front', 'rear'"
        assert len(await vision.look()) == 2
        assert vision.ledger.get(seen.id) is seen and vision.ledger.get(lost.id) is lost


async def test_views_beyond_the_limit_are_told_and_cost_nothing() -> None:
    async with Cards(CardSource("a"), CardSource("b"), CardSource("c"), limit=2) as vision:
        await vision.opened()
        encoded = vision.eyes[2].encoded
        seen = await vision.look()
        assert [each.image is not None for each in seen] == [True, True, False]
        assert seen[2].problem == "not chosen: no more pictures fit into this request"
        assert vision.eyes[2].encoded == encoded
        assert [each.image is not None for each in await vision.look(limit=1)] == [True, False, False]


async def test_a_hold_of_one_view_raises_that_one_only() -> None:
    options = VisionOptions(grace_s=0.0)
    async with Cards(CardSource("front"), CardSource("rear"), options=options) as vision:
        front, rear = (eye.watcher for eye in vision.eyes)
        vision.hold(["rear"])
        assert (front.demand, rear.demand) == (Demand.IDLE, Demand.ACTIVE)
        vision.release(["rear"])
        await until(lambda: rear.demand is Demand.IDLE)
        vision.touch(["front"])
        vision.release(["front"])  # nothing was held


async def test_a_crop_shows_the_part_alone() -> None:
    async with Cards(CardSource()) as vision:
        await vision.opened()
        (whole,) = await vision.look()
        assert whole.image is not None
        (mark,) = read_codes(decode_jpeg(whole.image.data))
        left, top, right, bottom = mark.box_xyxy
        width, height = whole.image.width, whole.image.height
        part = ((left - 20) / width, (top - 20) / height, (right + 20) / width, (bottom + 20) / height)
        (seen,) = await vision.look(purpose="tool", crop=tuple(max(0.0, min(1.0, v)) for v in part))  # type: ignore[arg-type]  # four of them
        assert seen.image is not None and seen.purpose == "tool"
        assert seen.image.width < width / 2
        assert [m.text for m in read_codes(decode_jpeg(seen.image.data))] == [mark.text]
        with pytest.raises(ImageError, match="left < right"):
            await vision.look(crop=(0.5, 0.0, 0.5, 1.0))


async def test_a_view_known_to_be_stalled_costs_no_waiting_and_delays_no_other() -> None:
    good, stuck = CardSource("good"), CardSource("stuck")
    async with Cards(good, stuck, options=VisionOptions(max_wait_s=1.0, max_age_s=0.2)) as vision:
        await vision.opened()
        stuck.silent = True
        frame = vision.eyes[1].watcher.latest
        assert frame is not None
        captured_s = frame.captured_s
        await until(lambda: time.monotonic() - captured_s > 0.3)
        first_s = time.monotonic()
        seen = await vision.look()  # nobody knows it yet: this one waits
        assert seen[1].image is None and time.monotonic() - first_s > 0.9
        for _ in range(5):
            begun_s = time.monotonic()
            seen = await vision.look()
            assert seen[0].image is not None and seen[1].image is None
            assert time.monotonic() - begun_s < 0.5  # far from the second it would wait
        stuck.silent = False
        await until(lambda: vision.eyes[1].watcher.known_problem() is None)
        assert all(each.image is not None for each in await vision.look())


async def test_the_counts_tell_what_became_of_the_frames() -> None:
    async with Cards(CardSource()) as vision:
        await vision.opened()
        await vision.look()
        view = vision.statistics().views["desk"]
        assert view.received >= 1 and view.used >= 1 and view.encoded >= 1
        vision.eyes[0].watcher.reject(vision.eyes[0].watcher.latest)  # type: ignore[arg-type]  # there is one
        assert vision.statistics().views["desk"].bad == 1
        assert vision.statistics().ledger.sightings == 1
        assert vision.statistics().lines()[0].startswith("desk: ")


@pytest.mark.parametrize("age_s", [0, 0.001, float("nan")])
def test_an_age_at_which_no_picture_is_new_enough_is_refused(age_s: float) -> None:
    with pytest.raises(ConfigError, match=r"max_age_s = .*: must be from 0.01 to 60 seconds"):
        VisionOptions(max_age_s=age_s)


async def test_a_close_that_is_cancelled_says_so() -> None:
    closing, source = asyncio.Event(), SlowToClose()

    async def close(vision: Vision) -> None:
        closing.set()
        await vision.aclose()

    vision = Vision(source=source)
    vision.open()
    await until(lambda: vision.eyes[0].watcher.latest is not None)
    task = asyncio.create_task(close(vision))
    await source.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    source.may_close.set()


class SlowToClose(CardSource):
    """Takes its time to close."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_close = asyncio.Event(), asyncio.Event()

    async def aclose(self) -> None:
        self.asked.set()
        await self.may_close.wait()
