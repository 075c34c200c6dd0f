"""A model that never answers while 720p30 arrives: a shorter version of the benchmark's five minutes."""

from __future__ import annotations

import pytest

from vision_agent.bench.memory import watch
from vision_agent.bench.stage import Stages


@pytest.mark.server
async def test_memory_stays_flat_while_a_model_never_answers() -> None:
    async with Stages() as stages:
        found = await watch(25, 8, lambda what: None, stages)
    resident, questions, rise = found.figures
    assert len(resident.values) == 25 and resident.values[0] > 50
    assert questions.values[0] >= 8
    assert rise.values[0] < 30, resident.values  # MB
