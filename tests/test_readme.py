"""What the README says is what happens."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from vision_agent.bench.beside import beside
from vision_agent.cli import main
from vision_agent.testing.server import LocalServer

from .gemini import KEY, GeminiServer
from .rooms import codes, joined, publishing
from .visitor import Command, Visitor
from .waiting import until

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def drop_in_lines() -> str:
    """The block under "Into your own agent", as it stands."""
    section = README.partition("## Into your own agent")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture
async def gemini() -> AsyncIterator[GeminiServer]:
    async with GeminiServer() as running:
        yield running


async def test_the_ten_lines_put_eyes_into_somebody_elses_agent(
    server: LocalServer, gemini: GeminiServer, tmp_path: Path
) -> None:
    program = tmp_path / "agent.py"
    program.write_text(drop_in_lines(), encoding="utf-8")
    assert len([line for line in drop_in_lines().splitlines() if line.strip()]) <= 11
    keys = {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.api_key,
        "LIVEKIT_API_SECRET": server.api_secret,
        "GOOGLE_API_KEY": KEY,
        "GOOGLE_GEMINI_BASE_URL": gemini.base_url,
    }
    pipe = asyncio.subprocess.PIPE
    agent = Command(
        await asyncio.create_subprocess_exec(
            *(sys.executable, str(program), "dev", "--no-reload"),
            stdout=pipe,
            stderr=pipe,
            env={**os.environ, **keys},
        )
    )
    try:
        await until(lambda: "registered worker" in agent.err + agent.out, within_s=60)
        async with joined(server, "alice") as alice, publishing(alice):
            visitor = Visitor(alice)
            await visitor.agent_listens()
            await visitor.ask_until(lambda answer: bool(codes(answer)))
            asked_s = time.time()
            (code,) = codes(await visitor.ask())
            assert asked_s - 0.5 <= code + 1 and code <= time.time()
        agent.process.send_signal(signal.SIGINT)
        with suppress(asyncio.TimeoutError):
            await agent.exit_code(10)
    finally:
        await agent.kill()


def test_every_command_of_the_readme_is_there() -> None:
    for command in set(re.findall(r"vision-agent ([a-z]+)", README)):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z]+)`", README) + re.findall(
        r"^\$ make ([a-z]+)", README, re.MULTILINE
    ):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_every_file_the_readme_names_is_there() -> None:
    for path in re.findall(r"\]\(([^):#]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_numbers_are_those_of_the_last_run() -> None:
    assert beside(ROOT / "benchmarks/results/bench.json") in README
