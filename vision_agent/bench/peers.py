"""Compares with the peers: same frames, same server, same run, each in its own environment and process.

The scripts are in ``benchmarks/peers`` of a checkout; each says which part of its peer it runs, and how.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from .child import Child, ChildError, started
from .peer import OURS, PEERS, Peer
from .peer_turns import Found, attend, tell
from .result import Progress, Result
from .scene import pictures
from .stage import Stages

SCRIPTS = Path("benchmarks/peers")
ENVIRONMENTS = Path(".cache/peers")
QUALITY = 80
SIZES = {
    "720p to 512 px": ((1280, 720), 512, 0.0),
    "720p to 512 px, 30 a second": ((1280, 720), 512, 1 / 30),
    "1080p to 768 px": ((1920, 1080), 768, 0.0),
    "720p, its default": ((1280, 720), 0, 0.0),
}
"""Frame size, longest side of the JPEG (0: the peer's default), and the seconds between two frames."""
COUNT = 8
"""Frames per request to a peer."""
VERSIONS = """
import json
from importlib import metadata
print(json.dumps({each.name.lower(): each.version for each in metadata.distributions()}))
"""


async def run(quick: bool, progress: Progress, stages: Stages) -> Result:
    """Install each peer, then let all of them encode, idle and take turns by rotation.

    Raises:
        ConfigError: The scripts are missing: this is not a checkout.
    """
    _check_scripts()
    rounds, turns = (2, 2) if quick else (10, 6)
    passes = 1 if quick else 3
    seconds = 1.5 if quick else 6.0
    config = {"encode_rounds": rounds, "turns": turns * passes, "passes": passes, "idle_seconds": seconds}
    versions: dict[str, dict[str, str]] = {}
    result = Result(part="peers", config={**config, "quality": QUALITY, "versions": versions})
    pythons = {}
    for peer in PEERS:
        progress(f"environment of {peer.name}")
        try:
            pythons[peer.name] = await python_of(peer.environment)
            if peer.environment and peer.environment not in versions:
                versions[peer.environment] = await versions_of(pythons[peer.name])
        except ChildError as error:
            result.notes.append(f"{peer.name} was not run: {error}")
    there = [peer for peer in PEERS if peer.name in pythons]
    await encode_all(result, progress, [peer for peer in there if peer.encodes], pythons, rounds)
    on = await stages.set()
    found = {peer.name: Found() for peer in there if peer.joins}
    for number in range(passes):
        for peer in there:
            if not peer.joins:
                continue
            progress(f"{peer.name}: idle and turns, pass {number + 1}/{passes}")
            try:
                async with started(peer.name, [pythons[peer.name], SCRIPTS / peer.script]) as child:
                    await attend(child, peer, found[peer.name], on, seconds=seconds, turns=turns)
            except ChildError as error:
                result.notes.append(f"{peer.name}, pass {number + 1}: {error}")
    tell(result, found)
    for peer in there:
        if not peer.joins:
            result.notes.append(f"{peer.name} has no LiveKit transport: only its picture was measured")
    return result


def _check_scripts() -> None:
    if not SCRIPTS.is_dir():
        raise ConfigError(f"{SCRIPTS} is not here: run --peers from a checkout of the project")


async def python_of(environment: str) -> Path:
    """Return the interpreter of an environment; uv makes it if it is missing or outdated."""
    if not environment:
        return Path(sys.executable)
    required = (SCRIPTS / f"{environment}.txt").read_text(encoding="utf-8")
    folder = ENVIRONMENTS / environment
    python, marker = folder / "bin" / "python", folder / "installed.txt"
    if marker.is_file() and marker.read_text(encoding="utf-8") == required:
        return python
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    if uv is None:
        raise ChildError("uv is not installed")
    await _command(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    await _command(
        uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(SCRIPTS / f"{environment}.txt")
    )
    marker.write_text(required, encoding="utf-8")
    return python


async def versions_of(python: Path) -> dict[str, str]:
    """Return the version of each distribution that an interpreter finds."""
    found: dict[str, str] = json.loads(await _command(str(python), "-c", VERSIONS))
    return dict(sorted(found.items()))


async def _command(*words: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)
    output, said = await process.communicate()
    if process.returncode:
        raise ChildError(f"{Path(words[0]).name} {words[1]}: {said.decode(errors='replace').strip()[-300:]}")
    return output.decode()


async def encode_all(
    result: Result,
    progress: Progress,
    peers: list[Peer],
    pythons: dict[str, Path],
    rounds: int,
    sizes: dict[str, tuple[tuple[int, int], int, float]] = SIZES,
) -> None:
    """Encode the same frames with each peer in turns; note a peer that fails, and skip it."""
    async with AsyncExitStack() as children:
        folder = Path(children.enter_context(tempfile.TemporaryDirectory()))
        running: dict[str, Child] = {}
        for peer in peers:
            command = [pythons[peer.name], SCRIPTS / peer.script]
            running[peer.name] = await children.enter_async_context(started(peer.name, command))
        for label, (size_wh, side_px, apart_s) in sizes.items():
            frames = folder / f"{size_wh[1]}.npy"
            await asyncio.to_thread(_save, frames, size_wh)
            able = [peer for peer in peers if peer.sizes or not side_px]
            request = {
                "do": "encode",
                "frames": str(frames),
                "size_wh": size_wh,
                "side_px": side_px,
                "quality": QUALITY,
                "apart_s": apart_s,
                "count": COUNT,
            }
            taken: dict[str, list[float]] = {peer.name: [] for peer in able}
            stalls: dict[str, list[float]] = {peer.name: [] for peer in able}
            for number in range(rounds):
                progress(f"{label}, round {number + 1}/{rounds}")
                for peer in able:
                    if peer.name not in running:
                        continue
                    try:
                        told = await running[peer.name].ask(request)
                    except ChildError as error:
                        result.notes.append(f"{peer.name}, {label}: {error}")
                        del running[peer.name]
                        continue
                    taken[peer.name].append(statistics.median(told["ms"]))
                    stalls[peer.name].append(max(told["stall_ms"]))
            for peer in able:
                result.add(f"{label}: {peer.name}", "ms", taken[peer.name])
            for peer in able:
                if peer.name != OURS and len(taken[peer.name]) == len(taken[OURS]):
                    at_least = peer.at_least if side_px and not apart_s else 0
                    name = f"{label}: {peer.name} / {OURS}"
                    result.ratio(name, taken[peer.name], taken[OURS], at_least=at_least)
            for peer in able:
                result.add(f"{label}: {peer.name}, event loop late by", "ms", stalls[peer.name])


def _save(file: Path, size_wh: tuple[int, int]) -> None:
    np.save(file, np.stack(pictures(size_wh, count=COUNT)))
