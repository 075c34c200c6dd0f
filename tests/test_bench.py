from __future__ import annotations

import asyncio
import json
import math
import time
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from vision_agent.bench import stamp
from vision_agent.bench.beside import beside
from vision_agent.bench.command import PARTS, bench, missed
from vision_agent.bench.load import LoopMonitor, cpu_percent, resident_mb
from vision_agent.bench.markdown import render
from vision_agent.bench.report import table, write
from vision_agent.bench.result import MOST_VALUES, Figure, Result, percentile
from vision_agent.bench.scene import pictures
from vision_agent.bench.stage import Stages
from vision_agent.cli import main
from vision_agent.errors import ConfigError
from vision_agent.imaging.frame import Frame
from vision_agent.imaging.jpeg import encode_jpeg
from vision_agent.testing import server


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
    assert ElementTree.parse(tmp_path / "encode-ms.svg").getroot().tag.endswith("svg")


async def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="benchmark part 'speed'"):
        await bench(quick=True, only=["speed"], output=tmp_path)


async def test_a_part_that_needs_a_server_is_skipped_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CACHED_BINARY", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    (result,) = await bench(quick=True, only=["idle"], output=tmp_path)
    assert "livekit-server" in result.skipped and not result.figures
    assert missed([result]) == ["idle"]
    assert "skipped, livekit-server" in table(result)
    assert "Skipped: livekit-server" in render(tmp_path / "bench.json")


def test_a_limit_is_on_the_percentile_it_names_and_missed_without_a_value(tmp_path: Path) -> None:
    result = Result(part="x")
    result.limit("age", "ms", [*range(1, 100), 1000], 99, percent=95)
    result.limit("memory", "MB", [5.0, 31.0], 30)
    result.limit("nothing came", "ms", [], 5, percent=95)
    assert [figure.ok for figure in result.figures] == [True, False, False]
    assert result.figures[0].target == "p95 at most 99 ms" and "[MISSED: at most 30 MB]" in table(result)
    write([result], {"command": "x"}, tmp_path)
    figures = json.loads((tmp_path / "bench.json").read_text())["parts"][0]["figures"]
    assert figures[2]["median"] is None  # JSON knows no NaN
    assert math.isnan(result.figures[2].values[0])


def test_a_report_keeps_some_raw_values_of_many_and_the_summary_of_all() -> None:
    found = Figure(name="late", unit="ms", values=[*range(10_000)]).as_json()
    assert found["count"] == 10_000 and found["max"] == 9999 and len(found["values"]) <= MOST_VALUES


def test_the_tables_of_a_text_are_rendered_from_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Result(part="idle", notes=["one peer was not run: no network"])
    result.ratio("recipe / ready", [9.0, 10.0, 11.0], [1.0, 2.0, 1.0], at_least=4.5)
    facts = {"command": "vision-agent bench", "commit": "abc", "date": "2030-01-02T03:04:05+00:00"}
    facts["machine"] = {"cpu": "a processor", "cores": 4, "python": "3.11"}  # type: ignore[assignment]
    write([result], facts, tmp_path)
    assert main(["bench", "--markdown", str(tmp_path / "bench.json")]) == 0
    text = capsys.readouterr().out
    assert "| recipe / ready | 9.00 x | 11.0 | 5.00 to 11.0 | at least 4.5x: ok |" in text
    assert "at commit abc, 2030-01-02, on a processor, 4 cores" in text and "no network" in text
    (tmp_path / "bench.json").write_text("{}")
    assert main(["bench", "--markdown", str(tmp_path / "bench.json")]) == 2
    assert "is not what `vision-agent bench` writes" in capsys.readouterr().err


def test_the_few_figures_of_the_readme_are_those_that_the_report_has(tmp_path: Path) -> None:
    turn, peers = Result(part="turn"), Result(part="peers")
    turn.limit("ready: demand raised to full-size frame", "ms", [*[200.0] * 19, 1100.0], 300, percent=95)
    peers.add("720p, its default: Pipecat", "ms", [7.0])
    facts = {"command": "vision-agent bench", "commit": "abc", "date": "2030-01-02T03:04:05+00:00"}
    facts["machine"] = {"cpu": "a processor", "cores": 4, "python": "3.11"}  # type: ignore[assignment]
    write([turn, peers], facts, tmp_path)
    lines = beside(tmp_path / "bench.json").splitlines()
    assert "| from the raised demand to a full-size frame, `ready`: p95, longest | 200, 1100 ms |" in lines
    assert "| a 720p frame to a JPEG of each library's default size | - | - | - | 7.00 ms | - |" in lines
    assert len([line for line in lines if line.startswith("|") and "---" not in line]) == 4


def test_what_the_scripts_found_follows_the_few_figures(tmp_path: Path) -> None:
    facts = {"command": "vision-agent bench", "commit": "abc", "date": "2030-01-02T03:04:05+00:00"}
    facts["machine"] = {"cpu": "a processor", "cores": 4, "python": "3.11"}  # type: ignore[assignment]
    write([], facts, tmp_path)
    facts["command"] = "python benchmarks/sources.py"
    case = {"IDLE": {"cpu_percent": 0.5}, "opencv": {"cpu_percent": 10.0}}
    found = {**facts, "size": "1920x1080", "fps": 30, "cases": {"mjpeg http": case}}
    (tmp_path / "sources.json").write_text(json.dumps(found))
    (tmp_path / "publish.json").write_text(json.dumps({"size": "1280x720", "fps": 30, "ratios": [0.2, 0.3]}))
    lines = beside(tmp_path / "bench.json").splitlines()
    assert "| motion JPEG, a live camera (HTTP) | 0.50 % | 10.0 % |" in lines
    assert any(line.startswith("`python benchmarks/sources.py` at commit abc") for line in lines)
    assert lines[-2].startswith("Publishing H.264 untouched (720p30) takes 0.25 of")
    assert lines[-1] == "`python benchmarks/publish.py`."  # what an older report doesn't tell is left out
    (tmp_path / "publish.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"is not what `benchmarks/publish\.py` writes"):
        beside(tmp_path / "bench.json")


def test_strict_fails_where_a_target_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def slow(quick: bool, progress: object, stages: Stages) -> Result:
        result = Result(part="encode")
        result.limit("took", "ms", [2.0], 1)
        return result

    monkeypatch.setitem(PARTS, "encode", slow)
    arguments = ["bench", "--only", "encode", "--output", str(tmp_path)]
    assert main(arguments) == 0
    assert main([*arguments, "--strict"]) == 1
    assert "[MISSED: at most 1 ms]" in capsys.readouterr().out


@pytest.mark.parametrize("max_side_px", [1280, 768, 320])
def test_the_time_in_the_pixels_survives_scaling_and_jpeg(max_side_px: int) -> None:
    picture = pictures((1280, 720), count=1)[0]
    for stamp_ms in (0, 1, 123_456, (1 << stamp.TIME_BITS) - 1):
        planes = picture.copy()
        stamp.put(planes[: 1280 * 720].reshape(720, 1280), stamp_ms)
        frame = Frame(width=1280, height=720, captured_s=0.0, planes_i420=planes)
        data = encode_jpeg(frame, max_side_px=max_side_px, quality=50).data
        assert stamp.read(np.asarray(Image.open(BytesIO(data)).convert("L"))) == stamp_ms
    assert stamp.read(picture[: 1280 * 720].reshape(720, 1280)) is None  # no strip, no time
    assert stamp.age_ms((1 << stamp.TIME_BITS) - 5, 10) == 15  # across the end of the clock


async def test_a_loop_that_is_kept_busy_is_noticed_and_so_is_its_cpu() -> None:
    async with LoopMonitor() as monitor:
        await asyncio.sleep(0.05)
        until_s = time.perf_counter() + 0.1
        while time.perf_counter() < until_s:
            pass
        await asyncio.sleep(0.02)
        longest_ms = await monitor.longest_ms()
        assert 50 < longest_ms > await monitor.longest_ms()  # what was told is not told again
    assert max(monitor.late_ms) > 50

    async def burn() -> None:
        until_s = time.perf_counter() + 0.5
        while time.perf_counter() < until_s:
            sum(range(1000))
            await asyncio.sleep(0)

    cpu, _ = await asyncio.gather(cpu_percent(0.4), burn())
    assert cpu > 10  # about 100 where nothing else runs
    assert resident_mb() > 20


def test_the_scene_is_the_same_each_time_and_moves_in_a_circle() -> None:
    first, again = pictures((320, 180), count=8), pictures((320, 180), count=8)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    steps = [np.abs(a.astype(int) - b).mean() for a, b in zip(first, [*first[1:], first[0]], strict=True)]
    assert min(steps) > 1 and max(steps) < 4 * min(steps)  # no jump where it begins again
