"""If a stream's time stamps go back: is it a B-frame, or a clock that was set back?"""

from __future__ import annotations

import pytest

from vision_agent.publish.order import Order

GROUP = 30
STEP = 3000  # of a 90 kHz clock, at 30 pictures a second


@pytest.mark.parametrize("has_dts", [True, False])
@pytest.mark.parametrize("back", [15, 60, 270, 100_000], ids=lambda back: f"{back / 30:g} s")
def test_a_clock_that_is_set_back_is_no_reordering(back: int, has_dts: bool) -> None:
    order = Order()
    for index in range(2000):
        stamp = (index - back * (index // 500)) * STEP
        assert not order.is_other(stamp, stamp if has_dts else None, is_key=index % GROUP == 0)


@pytest.mark.parametrize("has_dts", [True, False])
@pytest.mark.parametrize("shown", [(0, 2, 1), (0, 3, 1, 2), (0, 4, 2, 1, 3)], ids=str)
def test_pictures_that_are_shown_before_earlier_ones_are_found_soon(
    shown: tuple[int, ...], has_dts: bool
) -> None:
    order, size = Order(), len(shown)
    found = [
        index
        for index in range(60)
        if order.is_other(
            (index - index % size + shown[index % size] + 2) * STEP,
            index * STEP if has_dts else None,
            is_key=index % GROUP == 0,
        )
    ]
    assert found and found[0] <= (2 if has_dts else 3 * size)


def test_pictures_without_time_stamps_are_taken_as_they_come() -> None:
    order = Order()
    assert not any(order.is_other(None, None, is_key=False) for _ in range(10))
