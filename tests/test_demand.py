from __future__ import annotations

import pytest

from vision_agent import ConfigError
from vision_agent.demand import Demand
from vision_agent.views.level import DemandLevel


@pytest.mark.parametrize(
    ("policy", "rest"),
    [("always", Demand.ACTIVE), ("ready", Demand.IDLE), ("on_demand", Demand.OFF)],
)
def test_up_at_once_and_down_after_the_grace_time(policy: str, rest: Demand) -> None:
    level = DemandLevel(policy=policy, grace_s=5)
    assert level.at(0) == rest
    level.touch(10)
    assert level.at(10) == level.at(14.9) == Demand.ACTIVE and level.at(15) == rest
    level.hold()
    level.hold()
    level.release(100)
    assert level.at(1000) == Demand.ACTIVE  # still held once
    level.release(1000)
    assert level.at(1004.9) == Demand.ACTIVE and level.at(1005) == rest


def test_when_it_falls_by_itself_is_known() -> None:
    level = DemandLevel(policy="ready", grace_s=5)
    assert level.falls_in_s(0) is None
    level.touch(0)
    assert level.falls_in_s(2) == 3
    level.hold()
    assert level.falls_in_s(2) is None
    level.release(2)
    assert level.falls_in_s(2) == 5
    always = DemandLevel(policy="always", grace_s=5)
    always.touch(0)
    assert always.falls_in_s(0) is None


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(ConfigError, match="'sometimes'"):
        DemandLevel(policy="sometimes")
