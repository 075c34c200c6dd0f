"""Which frames are worth waiting for. The clock is an argument."""

from __future__ import annotations

import pytest

from vision_agent.views.reach import BREAK_S, LEARNED_S, SLOWEST_S, Reach

WAIT_S = 2.0


def enough(reach: Reach, side_px: int, now_s: float, *, full_px: int | None = 1280) -> bool:
    return reach.is_large(side_px, wanted_px=768, full_px=full_px, now_s=now_s)


@pytest.fixture
def reach() -> Reach:
    """A ``Reach`` that was raised at 100 s and has got nothing larger than 640 since."""
    reach = Reach()
    reach.came(320, 99.0)
    reach.raised(100.0)
    reach.came(640, 100.2)
    return reach


def test_large_is_what_is_wanted_or_all_there_is(reach: Reach) -> None:
    assert enough(reach, 768, 100.3) and not enough(reach, 640, 100.3)
    assert enough(reach, 640, 100.3, full_px=640) and enough(reach, 320, 100.3, full_px=None)


def test_what_did_not_come_in_time_is_not_waited_for_again(reach: Reach) -> None:
    assert reach.due_s(WAIT_S) == 102.0
    reach.gave_up(640, 102.0)
    reach.came(320, 109.0)  # at rest
    reach.raised(110.0)
    assert not enough(reach, 320, 110.0) and enough(reach, 640, 110.0)
    assert not enough(reach, 640, 102.0 + LEARNED_S)  # by then it may come


def test_when_something_larger_comes_it_is_waited_for_again(reach: Reach) -> None:
    reach.gave_up(640, 102.0)
    reach.came(1280, 103.0)
    assert not enough(reach, 640, 104.0)


def test_after_a_shorter_wait_than_a_layer_may_take_nothing_is_known(reach: Reach) -> None:
    reach.gave_up(640, 100.0 + SLOWEST_S - 0.1)
    assert not enough(reach, 640, 103.0)


def test_after_a_break_or_a_fall_full_size_may_be_on_its_way(reach: Reach) -> None:
    reach.came(1280, 101.0)
    reach.came(1280, 102.0)
    assert reach.due_s(WAIT_S) == 102.0
    reach.came(640, 102.1)
    assert reach.due_s(WAIT_S) == 104.1
    reach.came(640, 102.1 + BREAK_S)
    assert reach.due_s(WAIT_S) == 104.1
    reach.came(640, 110.0)
    assert reach.due_s(WAIT_S) == 112.0
