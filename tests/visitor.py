"""Commands as real processes, and a person who joins a room and types."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import psutil
from livekit import rtc

from vision_agent.testing.server import LocalServer

from .waiting import until

COMMAND = (sys.executable, "-c", "from vision_agent.cli import main; raise SystemExit(main())")
QUESTION = "What does the QR code say?"


class Command:
    """A running ``vision-agent``, with what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out = self.err = ""
        assert process.stdout is not None and process.stderr is not None
        self._reading = asyncio.gather(self._read("out", process.stdout), self._read("err", process.stderr))

    async def _read(self, name: str, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            setattr(self, name, getattr(self, name) + line.decode())

    def family(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            me = psutil.Process(self.process.pid)
            return [me, *me.children(recursive=True)]
        return []

    async def exit_code(self, within_s: float = 30) -> int | None:
        await asyncio.wait_for(asyncio.gather(self.process.wait(), asyncio.shield(self._reading)), within_s)
        return self.process.returncode

    async def kill(self) -> None:
        for each in self.family():
            with suppress(psutil.NoSuchProcess):
                each.kill()
        await asyncio.gather(self.process.wait(), self._reading)


@asynccontextmanager
async def running(
    *args: str, environment: Mapping[str, str] | None = None, program: Sequence[str] = COMMAND
) -> AsyncIterator[Command]:
    """Run ``vision-agent ARGS``; at the end kill it and its children if they still run."""
    pipe = asyncio.subprocess.PIPE
    command = Command(
        await asyncio.create_subprocess_exec(
            *program, *args, stdout=pipe, stderr=pipe, env={**os.environ, **(environment or {})}
        )
    )
    try:
        yield command
    finally:
        await command.kill()


@asynccontextmanager
async def demo(*args: str) -> AsyncIterator[tuple[Command, str]]:
    """Run the demo; yield its address, which it prints on stdout."""
    async with running("demo", *args) as command:
        await until(lambda: "http://" in command.out or command.process.returncode is not None, within_s=60)
        found = re.search(r"http://\S+", command.out)
        assert found, command.err
        yield command, found[0]


def environment(server: LocalServer, **changed: str) -> dict[str, str]:
    keys = {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.api_key,
        "LIVEKIT_API_SECRET": server.api_secret,
    }
    return {**keys, **changed}


async def failure(*args: str, environment: dict[str, str]) -> tuple[int | None, str]:
    async with running(*args, environment=environment) as command:
        return await command.exit_code(), command.err


def run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from vision_agent.cli import main; raise SystemExit(main())", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


@dataclass(frozen=True, slots=True)
class Heard:
    """A text from the agent, with the attributes of its stream."""

    text: str
    attributes: Mapping[str, str]
    identity: str


class Visitor:
    """Sends on ``lk.chat`` and reads the agent's answers on ``lk.transcription``."""

    def __init__(self, room: rtc.Room) -> None:
        self.room = room
        self._answers: asyncio.Queue[str] = asyncio.Queue()
        self._reading: set[asyncio.Task[None]] = set()
        self.heard: list[Heard] = []
        room.register_text_stream_handler("lk.transcription", self._on_stream)

    @property
    def agents(self) -> list[rtc.RemoteParticipant]:
        kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        return [each for each in self.room.remote_participants.values() if each.kind == kind]

    async def agent_listens(self) -> None:
        await until(
            lambda: any(each.attributes.get("lk.agent.state") == "listening" for each in self.agents),
            within_s=60,
        )

    async def ask(self, question: str = QUESTION, within_s: float = 20) -> str:
        await self.post(question)
        return await asyncio.wait_for(self._answers.get(), within_s)

    async def post(self, question: str) -> str:
        """Ask without waiting for the answer; return the id of the question."""
        info = await self.room.local_participant.send_text(question, topic="lk.chat")
        return info.stream_id

    async def answer_to(self, question_id: str, within_s: float = 20) -> Heard:
        """Wait for the agent's reply to one question: an answer, or the reason why there is none."""

        def answers() -> list[Heard]:
            return [each for each in self.heard if each.attributes.get("vision.question") == question_id]

        await until(lambda: bool(answers()), within_s=within_s)
        return answers()[0]

    async def ask_until(self, good: Callable[[str], bool]) -> str:
        """Ask again until the answer is good: events of a room take their time to arrive."""
        deadline_s, answer = time.monotonic() + 30, "none"
        while time.monotonic() < deadline_s:
            with suppress(asyncio.TimeoutError):  # nobody listened yet
                if good(answer := await self.ask(within_s=3)):
                    return answer
        raise AssertionError(f"last answer: {answer}")

    def _on_stream(self, reader: rtc.TextStreamReader, identity: str) -> None:
        async def read() -> None:
            try:
                text = await reader.read_all()
            except rtc.StreamError:  # the room is left
                return
            self.heard.append(Heard(text, dict(reader.info.attributes or {}), identity))
            self._answers.put_nowait(text)

        task = asyncio.create_task(read())
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)
