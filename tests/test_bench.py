from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vision_agent.bench.command import bench
from vision_agent.bench.report import table
from vision_agent.bench.result import Result, percentile
from vision_agent.errors import ConfigError


def test_percentile_is_the_nearest_rank() -> None:
    values = list(range(1, 101))
    assert [percentile(values, percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([3.0], 95) == 3.0


def test_a_ratio_is_of_pairs_and_says_whether_it_is_met() -> None:
    result = Result(part="x")
    result.ratio("theirs / ours", [20.0, 24.0, 40.0], [2.0, 2.0, 2.0], at_least=12)
    result.ratio("ours / floor", [4.0], [1.0], at_most=3)
    met, missed = result.figures
    assert met.values == [10.0, 12.0, 20.0] and met.ok
    assert missed.ok is False
    assert "[ok: at least 12x]" in table(result) and "[MISSED: at most 3x]" in table(result)


async def test_the_encode_part_needs_nothing_and_writes_what_it_found(tmp_path: Path) -> None:
    (result,) = await bench(quick=True, only=["encode"], output=tmp_path)
    report = json.loads((tmp_path / "bench.json").read_text())
    assert {"commit", "machine", "versions", "command", "parts"} <= report.keys()
    (part,) = report["parts"]
    assert [figure["name"] for figure in part["figures"]] == [figure.name for figure in result.figures]
    assert all(len(figure["values"]) == figure["count"] > 0 for figure in part["figures"])
    assert ElementTree.parse(tmp_path / "encode.svg").getroot().tag.endswith("svg")


async def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="benchmark part 'speed'"):
        await bench(quick=True, only=["speed"], output=tmp_path)
