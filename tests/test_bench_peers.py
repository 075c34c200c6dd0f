"""The comparison with peers: our own script over the pipe, and peers that can't be installed or that fail."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vision_agent.bench import peers
from vision_agent.bench.child import ChildError, started
from vision_agent.bench.peer import OURS, PEERS, Peer
from vision_agent.bench.peers import encode_all, python_of, versions_of
from vision_agent.bench.result import Result
from vision_agent.errors import ConfigError

ROOT = Path(__file__).parents[1]
SMALL = {"720p to 512 px": ((1280, 720), 512, 0.0)}


def test_every_peer_has_its_script_and_its_pinned_requirements() -> None:
    for peer in PEERS:
        assert (ROOT / peers.SCRIPTS / peer.script).is_file()
        if peer.environment:
            lines = (ROOT / peers.SCRIPTS / f"{peer.environment}.txt").read_text().splitlines()
            assert lines and all("==" in line for line in lines)


async def test_ours_is_measured_and_a_peer_that_breaks_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('its package is gone')")
    result = Result(part="peers")
    there = [next(peer for peer in PEERS if peer.name == OURS), Peer(name="Broken", script=str(broken))]
    await encode_all(
        result, lambda what: None, there, dict.fromkeys((OURS, "Broken"), Path(sys.executable)), 1, SMALL
    )
    figures = {figure.name: figure for figure in result.figures}
    assert 0 < figures["720p to 512 px: vision_agent"].values[0] < 500
    assert not any("Broken" in name for name in figures)
    assert len(result.notes) == 1 and "Broken" in result.notes[0] and "its package is gone" in result.notes[0]


async def test_an_environment_that_cannot_be_made_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "SCRIPTS", tmp_path)
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path / "environments")
    (tmp_path / "nothing.txt").write_text(f"nothing @ file://{tmp_path}/nothing-1.0.tar.gz")
    with pytest.raises(ChildError, match=r"(?s)uv pip.*nothing-1\.0"):
        await python_of("nothing")
    assert not (tmp_path / "environments" / "nothing" / "installed.txt").exists()  # tried again next time


async def test_the_packages_of_an_environment_are_told_with_their_versions() -> None:
    found = await versions_of(Path(sys.executable))
    assert found["numpy"] == np.__version__ and list(found) == sorted(found)
    with pytest.raises(ChildError):
        await versions_of(Path("/bin/false"))


async def test_without_a_checkout_the_peers_are_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "SCRIPTS", tmp_path / "none")
    with pytest.raises(ConfigError, match="run --peers from a checkout"):
        await peers.run(True, lambda what: None, None)  # type: ignore[arg-type]  # not reached


async def test_a_child_that_says_nothing_or_cannot_start_is_an_error(tmp_path: Path) -> None:
    silent = "import sys; sys.stdin.read()"
    async with started("silent", [sys.executable, "-c", silent]) as child:
        with pytest.raises(ChildError, match=r"silent did not answer within 0\.2 s"):
            await child.ask({}, within_s=0.2)
    with pytest.raises(ChildError, match="can't be started"):
        async with started("none", [tmp_path / "none"]):
            pass
