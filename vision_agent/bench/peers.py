"""Beside the peers: same frames, same server, same run, each in its own environment and process.

The scripts are in ``benchmarks/peers`` of a checkout; each says what of its peer it runs, and how.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from .child import Child, ChildError, started
from .result import Progress, Result
from .scene import pictures
from .stage import Stage, Stages

SCRIPTS = Path("benchmarks/peers")
ENVIRONMENTS = Path(".cache/peers")
OURS = "vision_agent"
QUALITY = 80
SIZES = {
    "720p to 512 px": ((1280, 720), 512, 0.0),
    "720p to 512 px, 30 a second": ((1280, 720), 512, 1 / 30),
    "1080p to 768 px": ((1920, 1080), 768, 0.0),
    "720p, its default": ((1280, 720), 0, 0.0),
}
"""Size, longest side or the peer's own, and the seconds from one frame to the next."""
COUNT = 8
"""Frames that are encoded each time a peer is asked."""
SETTLE_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One way to see, and its script."""

    name: str
    """As the table names it."""
    script: str
    """File in ``benchmarks/peers``."""
    environment: str = ""
    """Whose requirements it needs; ours if empty."""
    encodes: bool = True
    """Whether it has a way from frame to JPEG of its own."""
    joins: bool = True
    """Whether it can join a LiveKit room."""
    sizes: bool = True
    """Whether it can make a picture smaller."""
    at_least: float = 0.0
    """How many times longer than ours it should take."""
    looks: bool = False
    """Whether its newest picture can be asked for outside a turn."""


PEERS = (
    Peer(name=OURS, script="ours.py", looks=True),
    Peer(name="livekit recipe", script="recipe.py", environment="livekit_agents", at_least=12, looks=True),
    Peer(name="livekit video input", script="video_input.py", environment="livekit_agents", encodes=False),
    Peer(name="Pipecat", script="pipecat_livekit.py", environment="pipecat", sizes=False),
    Peer(
        name="Vision-Agents",
        script="vision_agents_picture.py",
        environment="vision_agents",
        joins=False,
        at_least=20,
    ),
)


@dataclass(slots=True)
class _Found:
    """What one peer's turns showed, over all rounds."""

    cpu: list[float] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)
    looked_ms: list[float] = field(default_factory=list)
    turns: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"spoken": [], "typed": []})


async def run(quick: bool, progress: Progress, stages: Stages) -> Result:
    """Install each peer, then encode, idle and take turns with all of them by rotation.

    Raises:
        ConfigError: The scripts are not here: this is no checkout.
    """
    _check_scripts()
    rounds, turns = (2, 2) if quick else (10, 6)
    passes = 1 if quick else 3
    config = {"encode_rounds": rounds, "turns": turns * passes, "passes": passes, "quality": QUALITY}
    result = Result(part="peers", config=config)
    pythons = {}
    for peer in PEERS:
        progress(f"environment of {peer.name}")
        try:
            pythons[peer.name] = await python_of(peer.environment)
        except ChildError as error:
            result.notes.append(f"{peer.name} was not run: {error}")
    there = [peer for peer in PEERS if peer.name in pythons]
    await encode_all(result, progress, [peer for peer in there if peer.encodes], pythons, rounds)
    on = await stages.set()
    found = {peer.name: _Found() for peer in there if peer.joins}
    for number in range(passes):
        for peer in there:
            if not peer.joins:
                continue
            progress(f"{peer.name}: idle and turns, pass {number + 1}/{passes}")
            try:
                async with started(peer.name, [pythons[peer.name], SCRIPTS / peer.script]) as child:
                    await _attend(child, peer, found[peer.name], on, quick=quick, turns=turns)
            except ChildError as error:
                result.notes.append(f"{peer.name}, pass {number + 1}: {error}")
    _tell(result, found)
    for peer in there:
        if not peer.joins:
            result.notes.append(f"{peer.name} has no LiveKit transport: only its picture was measured")
    return result


def _check_scripts() -> None:
    if not SCRIPTS.is_dir():
        raise ConfigError(f"{SCRIPTS} is not here: run --peers from a checkout of the project")


async def python_of(environment: str) -> Path:
    """Return the interpreter of an environment, made with uv if it is not there or not as required."""
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


async def _command(*words: str) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)
    _, said = await process.communicate()
    if process.returncode:
        raise ChildError(f"{Path(words[0]).name} {words[1]}: {said.decode(errors='replace').strip()[-300:]}")


async def encode_all(
    result: Result,
    progress: Progress,
    peers: list[Peer],
    pythons: dict[str, Path],
    rounds: int,
    sizes: dict[str, tuple[tuple[int, int], int, float]] = SIZES,
) -> None:
    """Encode the same frames with each peer in turns; one that fails is noted and left out."""
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


async def _attend(child: Child, peer: Peer, found: _Found, on: Stage, *, quick: bool, turns: int) -> None:
    identity = peer.script.removesuffix(".py")
    await child.ask({"do": "join", "room": on.room, **on.ticket(identity)})
    await asyncio.sleep(SETTLE_S)
    told = await child.ask({"do": "idle", "seconds": 1.5 if quick else 6.0})
    found.cpu.append(told["cpu"])
    for kind, seen in found.turns.items():
        told = await child.ask({"do": "turns", "kind": kind, "count": turns}, within_s=30 + 30 * turns)
        seen.append(told)
        found.ages_ms += [age for age in told["ages"] if age is not None]
    if peer.looks:
        told = await child.ask({"do": "look", "count": 10 if quick else 60})
        found.looked_ms += [age for age in told["ages"] if age is not None]


def _tell(result: Result, found: dict[str, _Found]) -> None:
    ours = found[OURS].cpu
    for name, each in found.items():
        result.add(f"idle, a camera in the room: {name}", "% of a core", each.cpu)
    for name, each in found.items():
        if name != OURS and len(each.cpu) == len(ours):
            result.ratio(f"idle: {name} / {OURS}", each.cpu, ours)
    for name, each in found.items():
        for kind, told in each.turns.items():
            seen = [100 * one["seen"] / one["turns"] for one in told]
            result.add(f"{kind} turns whose first request has the picture: {name}", "%", seen)
            if told and "seen_after_call" in told[0]:
                called = [100 * one["seen_after_call"] / one["turns"] for one in told]
                result.add(f"{kind} turns whose second request, after a call, has it: {name}", "%", called)
    for name, each in found.items():
        result.add(f"age of the picture in a request: {name}", "ms", each.ages_ms)
    for name, each in found.items():
        result.add(f"age of the newest picture, encoded at a random moment: {name}", "ms", each.looked_ms)
    for name, each in found.items():
        stalls = [one["stall_ms"] for told in each.turns.values() for one in told]
        result.add(f"event loop late in turns, longest of each pass: {name}", "ms", stalls)
