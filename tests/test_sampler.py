from __future__ import annotations

import pytest

from vision_agent.views.sampler import Sampler


def taken(sampler: Sampler, *, from_s: float, to_s: float, fps: float, speaking: bool) -> list[float]:
    times = [from_s + n / fps for n in range(round((to_s - from_s) * fps))]
    return [time_s for time_s in times if sampler.take(time_s, speaking=speaking)]


@pytest.mark.parametrize(
    ("speaking", "camera_fps", "expected"),
    [
        (True, 30.0, 60),  # 1.0 a second
        (False, 30.0, 18),  # 0.3 a second
        (True, 29.97, 60),  # frames that never fall on the due time keep the mean rate
        (True, 0.5, 30),  # a camera slower than the rate: each frame counts
    ],
)
def test_the_rate_is_kept_over_a_minute(speaking: bool, camera_fps: float, expected: int) -> None:
    found = taken(Sampler(), from_s=1000.0, to_s=1060.0, fps=camera_fps, speaking=speaking)
    assert abs(len(found) - expected) <= 1


def test_the_first_frame_counts_and_zero_takes_none() -> None:
    assert Sampler().take(5.0, speaking=False)
    assert not Sampler(silent_fps=0).take(5.0, speaking=False)
    sampler = Sampler(silent_fps=0)
    assert sampler.take(5.0, speaking=True)


def test_speech_raises_the_rate_at_once_and_silence_lowers_it() -> None:
    sampler = Sampler()
    assert sampler.take(0.0, speaking=False)
    assert not sampler.take(0.5, speaking=False)
    assert sampler.take(1.0, speaking=True)  # 3.3 s were not over, 1 s is
    assert not sampler.take(1.9, speaking=True)
    assert not sampler.take(3.0, speaking=False)
    assert sampler.take(1.0 + 1 / 0.3 + 0.01, speaking=False)


def test_no_burst_after_a_gap() -> None:
    sampler = Sampler()
    assert sampler.take(0.0, speaking=True)
    assert sampler.take(100.0, speaking=True)
    assert len(taken(sampler, from_s=100.01, to_s=102.0, fps=30, speaking=True)) <= 2
