"""The benchmark's parts on a real server, as short as possible; and the cost of idle views, in counts."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vision_agent.bench import cameras
from vision_agent.bench.child import started
from vision_agent.bench.command import bench
from vision_agent.bench.peer import OURS, PEERS
from vision_agent.bench.peer_turns import Found, attend, tell
from vision_agent.bench.peers import SCRIPTS
from vision_agent.bench.result import Result
from vision_agent.bench.stage import Stages
from vision_agent.bench.talk import SPEAKING_S

pytestmark = pytest.mark.server


@pytest.mark.timeout(180)
async def test_the_parts_in_a_room_run_and_write_what_they_found(tmp_path: Path) -> None:
    parts = ["idle", "age", "turn", "stalls"]
    results = await bench(quick=True, only=parts, output=tmp_path)
    assert [result.skipped for result in results] == [""] * len(parts)
    idle, age, turn, stalls = ({figure.name: figure for figure in result.figures} for result in results)
    assert len(age["bare VideoStream, as frames arrive"].values) > 30
    bare = age["bare VideoStream, as frames arrive"].summary()
    for what in ("while the user speaks", "out of silence, always"):
        looked = age[f"vision_agent look() {what}"].summary()
        # no picture is younger than what has arrived, and none waits for long
        assert looked["min"] > bare["min"] / 2 and looked["median"] < 4 * bare["median"]
    assert turn["turns whose request had the picture"].values == [100.0]
    # our share is a part of the whole, and little of what was spoken
    (whole,) = turn["typed turn: question to request"].values
    assert 0 < turn["typed turn: our hooks"].values[0] < whole
    assert 0 < turn["spoken turn: our hooks"].values[0] < 1000 * SPEAKING_S / 10
    # out of the rest the raise is in it, and the picture is large all the same
    assert turn["on_demand: typed after rest, question to request"].values[0] > whole
    assert turn["on_demand: typed after rest, the request had a full-size picture"].values == [100.0]
    late = {
        who: stalls[f"{who}: p99 of each block"].values[0] for who in ("vision_agent", "without pictures")
    }
    for who, p99_ms in late.items():
        (longest_ms,) = stalls[f"{who}: longest of each block"].values
        assert 0 < p99_ms <= longest_ms
    (above_ms,) = stalls["p99 of all above the same without pictures"].values
    assert above_ms == pytest.approx(late["vision_agent"] - late["without pictures"])
    assert late["vision_agent"] < 10 * late["without pictures"] + 50
    # in counts, not in time: at rest a view takes a frame a second where the recipe takes them all
    assert idle["vision_agent ready: frames"].summary()["max"] < 6
    assert idle["recipe: frames"].summary()["min"] > 10
    # a guard on ratios; the benchmark's own targets are 4.5 and 12
    assert idle["recipe / ready"].summary()["median"] > 2.5
    assert idle["recipe / on_demand"].summary()["median"] > 5
    report = json.loads((tmp_path / "bench.json").read_text())
    assert [part["part"] for part in report["parts"]] == parts
    assert re.fullmatch(r"\d+\.\d+\.\d+", report["versions"]["livekit-server"])
    for plot in ("idle-cpu", "age-ms", "turn-ms", "stalls-ms"):
        assert ElementTree.parse(tmp_path / f"{plot}.svg").getroot().tag.endswith("svg")


async def test_a_camera_that_nobody_asks_about_is_cheaper_than_an_open_stream() -> None:
    async with Stages() as stages:
        result = await cameras.watch((1,), cameras.CASES, 1, 1.0, lambda what: None, stages)
    figures = {figure.name: figure for figure in result.figures}
    assert figures["1 cameras: frames of each open stream"].values[0] > cameras.FPS / 2
    cpu = {name: figures[f"1 cameras: {name}"].values[0] for name in cameras.CASES}
    assert all(0 < each < 200 for each in cpu.values())
    assert cpu["vision_agent on_demand"] < cpu["open streams"]
    (ratio,) = figures["1 cameras: open streams / on_demand"].values
    assert ratio == pytest.approx(cpu["open streams"] / cpu["vision_agent on_demand"])


async def test_our_script_of_the_peers_waits_takes_turns_and_looks_in_a_room() -> None:
    ours = next(peer for peer in PEERS if peer.name == OURS)
    found, result = Found(), Result(part="peers")
    async with Stages() as stages:
        on = await stages.set()
        async with started(OURS, [sys.executable, SCRIPTS / ours.script]) as child:
            await attend(child, ours, found, on, seconds=1.0, turns=1)
    tell(result, {OURS: found})
    figures = {figure.name: figure.values for figure in result.figures}
    assert 0 < figures[f"idle, a camera in the room: {OURS}"][0] < 200
    for kind in ("spoken", "typed"):
        assert figures[f"{kind} turns whose first request has the picture: {OURS}"] == [100.0]
        assert len(figures[f"event loop late in a {kind} turn, longest of each: {OURS}"]) == 1
    assert len(figures[f"age of the picture in a request: {OURS}"]) == 2  # not that of the turns to warm up
    assert len(figures[f"age of the newest picture, encoded at a random moment: {OURS}"]) == 10
