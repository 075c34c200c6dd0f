"""``vision-agent chat`` as people and scripts use it: a real process, on a terminal and on pipes."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pyte
import pytest

from vision_agent import ConfigError
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.models.reading import read_codes
from vision_agent.terminal import FolderOutput

from .files import file_of
from .gemini import GeminiServer

COMMAND = (sys.executable, "-c", "from vision_agent.cli import main; raise SystemExit(main())", "chat")
ROOT = str(Path(__file__).parents[1])
QUESTION = "What does the QR code say?"


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "VISION_"))}
    return kept | {"PYTHONPATH": ROOT, "TERM": "xterm"} | extra


class _Emulator(pyte.Screen):
    def __init__(self, master: int) -> None:
        super().__init__(120, 60)
        self._master = master

    def write_process_input(self, data: str) -> None:  # it is asked where the cursor is
        os.write(self._master, data.encode())


class Screen:
    """A terminal of 60 lines of 120 characters with ``vision-agent chat`` on it."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._screen = _Emulator(master)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._on_bytes)

    def _on_bytes(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the process is gone
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self._stream.feed(data)
        self._changed.set()

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    async def until(self, pattern: str, *, times: int = 1) -> re.Match[str]:
        """Wait until the screen shows the pattern this many times; return the last match."""

        async def wait() -> re.Match[str]:
            while len(found := list(re.finditer(pattern, "\n".join(self._screen.display)))) < times:
                self._changed.clear()
                await self._changed.wait()
            return found[-1]

        try:
            return await asyncio.wait_for(wait(), 30)
        except asyncio.TimeoutError:
            shown = "\n".join(line.rstrip() for line in self._screen.display if line.strip())
            raise AssertionError(f"{pattern!r} did not show up {times} times in:\n{shown}") from None


@asynccontextmanager
async def on_a_terminal(
    *args: str, cwd: Path, **extra: str
) -> AsyncIterator[tuple[Screen, asyncio.subprocess.Process]]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 60, 120, 0, 0))  # rows, columns
    before: list[Any] = termios.tcgetattr(slave)
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *args, stdin=slave, stdout=slave, stderr=slave, cwd=cwd, env=environment(**extra)
    )
    screen = Screen(master)
    try:
        yield screen, process
        await asyncio.wait_for(process.wait(), 15)
        assert termios.tcgetattr(slave) == before  # the terminal is left as it was
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)
        os.close(slave)


async def piped(lines: str, *args: str, cwd: Path, **extra: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *args,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=environment(**extra),
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(lines.encode()), 60)
    assert process.returncode is not None
    return process.returncode, stdout.decode(), stderr.decode()


async def test_a_talk_on_a_terminal(tmp_path: Path) -> None:
    async with on_a_terminal(cwd=tmp_path) as (screen, process):
        await screen.until("/help tells more")
        status = await screen.until(
            r"testcard 1280x720 \| ([1-9]\d*) fps \| newest (\d+) ms old \| model offline"
        )
        assert int(status[2]) < 1000
        started_s = int(time.time())
        screen.type(f"{QUESTION}\r")
        answer = await screen.until(r"The code says VA-(\d+)\.")
        assert started_s <= int(answer[1]) <= int(time.time())
        await screen.until(r"last answer \d+ ms")
        screen.type("/help\r")
        await screen.until("leave; so do Ctrl-D")
        screen.type("/nope\r")
        await screen.until("/nope is no command")
        screen.type("\x1b[A\x1b[A\x1b[A\r")  # three up: the question again
        await screen.until(r"The code says VA-(\d+)\.", times=2)
        screen.type("/quit\r")
    assert process.returncode == 0
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - one empty folder; nothing is left behind


async def test_ctrl_c_leaves(tmp_path: Path) -> None:
    async with on_a_terminal(cwd=tmp_path) as (screen, process):
        await screen.until("you>")
        screen.type("\x03")
    assert process.returncode == 130


async def test_a_signal_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    async with on_a_terminal(cwd=tmp_path) as (screen, process):
        await screen.until("you>")
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM


async def test_marked_pictures_are_kept_where_asked(tmp_path: Path) -> None:
    async with on_a_terminal("--save", "kept", cwd=tmp_path) as (screen, process):
        await screen.until("you>")
        screen.type("Mark the code.\r")
        marked = await screen.until(r"I marked (VA-\d+)")
        saved = await screen.until(r"\[saved (kept/[^\]]+)\]")
        screen.type("\x04")
    assert process.returncode == 0
    (code,) = read_codes(decode_jpeg((tmp_path / saved[1]).read_bytes()))
    assert code.text == marked[1]


async def test_a_model_that_fails_ends_the_question_not_the_talk(tmp_path: Path) -> None:
    async with GeminiServer() as gemini:
        wrong = {"GOOGLE_API_KEY": "wrong", "GOOGLE_GEMINI_BASE_URL": gemini.base_url}
        arguments = ("--model", "google/gemini-2.5-flash")
        async with on_a_terminal(*arguments, cwd=tmp_path, **wrong) as (screen, process):
            for n in range(1, 6):
                await screen.until("you>", times=n)
                screen.type(f"{QUESTION}\r")
                await screen.until("! model 'google/gemini-2.5-flash': .*API key not valid", times=n)
            await screen.until("you>", times=6)
            screen.type("\x04")
        assert process.returncode == 0
        code, stdout, stderr = await piped(f"{QUESTION}\n", *arguments, cwd=tmp_path, **wrong)
        assert (code, stdout) == (1, "") and len(stderr.splitlines()) == 1
        assert "API key not valid" in stderr and "wrong" not in stderr


async def test_lines_in_answers_out(tmp_path: Path) -> None:
    (tmp_path / "given.png").write_bytes(file_of("PNG"))
    questions = "What was the code given at the start?\n\nWhat colours do you see?\n/status\n/counts"
    code, stdout, stderr = await piped(questions, "--image", "given.png", cwd=tmp_path)
    assert (code, stderr) == (0, "")
    first, second, status, frames, pictures = stdout.splitlines()
    assert first == "The code says VA-1700000000."
    assert "colours are" in second and status.startswith("testcard 1280x720 | ")
    assert re.fullmatch(r"testcard: \d+ frames, \d+ used, \d+ dropped, 0 bad, 0 failures", frames)
    assert pictures.startswith("requests: 2, sightings: ")


async def test_a_pipe_nobody_writes_to_does_not_hold_the_process(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment()
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"/help\n")
    assert await asyncio.wait_for(process.stdout.readline(), 30)
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 15) == 130
    process.stdin.close()


async def test_the_config_file_and_the_flag_that_goes_before_it(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('[agent]\nmodel = "oracle"\n[context]\nimages = ["given.png"]\n')
    (tmp_path / "given.png").write_bytes(file_of("PNG"))
    code, stdout, stderr = await piped("", "--config", "mine.toml", cwd=tmp_path)
    assert (code, stdout) == (2, "") and "model 'oracle': unknown" in stderr
    arguments = ("--config", "mine.toml", "--model", "offline")
    code, stdout, _ = await piped("What was the code given at the start?\n", *arguments, cwd=tmp_path)
    assert (code, stdout) == (0, "The code says VA-1700000000.\n")


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--save .*file/below: Not a directory"):
        FolderOutput(tmp_path / "file" / "below")
