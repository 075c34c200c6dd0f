"""A child process that gets requests and answers them, one JSON object per line.

The child ends when its standard input closes, so it never outlives the benchmark.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import VisionAgentError

TAIL = 2000


class ChildError(VisionAgentError):
    """A process of the benchmark ended, or did not answer in time."""


class Child:
    """The parent's end of the two pipes."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self._said = bytearray()  # the end of its stderr
        self._listening = asyncio.create_task(self._listen(), name=f"stderr of {name}")

    async def ask(self, request: dict[str, Any], *, within_s: float = 60.0) -> dict[str, Any]:
        """Send one object and return the next one that the child writes.

        Raises:
            ChildError: It ended, or wrote no object in time; the text has the last line of its stderr.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            await stdin.drain()
            while line := await asyncio.wait_for(stdout.readline(), within_s):
                if line.startswith(b"{"):  # other lines are output of some library
                    answer: dict[str, Any] = json.loads(line)
                    if "error" in answer:
                        raise ChildError(f"{self.name}: {answer['error']}")
                    return answer
        except asyncio.TimeoutError as error:
            raise ChildError(f"{self.name} did not answer within {within_s:g} s") from error
        except ConnectionError:
            pass  # it ended: reported below
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listening), 2)
        last = self._said.decode(errors="replace").strip().rpartition("\n")[2]
        raise ChildError(f"{self.name} ended: {last or 'without a message'}")

    async def aclose(self) -> None:
        """Close its input, wait until it ends, kill it if it does not; safe to call twice."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except asyncio.TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while part := await self._process.stderr.read(65536):
            self._said += part
            del self._said[:-TAIL]


@asynccontextmanager
async def started(
    name: str, command: Sequence[str | Path], *, cwd: Path | None = None
) -> AsyncIterator[Child]:
    """Run a command as a child and end it on exit.

    Raises:
        ChildError: It can't be run.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(word) for word in command),
            stdin=pipe, stdout=pipe, stderr=pipe, cwd=cwd, limit=16 * 1024 * 1024,
        )  # fmt: skip
    except OSError as error:
        raise ChildError(f"{name} can't be started: {error}") from error
    child = Child(name, process)
    try:
        yield child
    finally:
        await child.aclose()
