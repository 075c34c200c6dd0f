"""``Decoder``: the owner of the decoder process."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

from ..errors import ImageError
from ..imaging.jpeg import EncodedImage
from ..waiting import within
from .messages import READY, REPLY, DecodeOptions, pack_request, unpack_reply

logger = logging.getLogger(__name__)

IDLE_S = 10.0
"""How long the process waits for the next picture, in seconds."""
START_S = 60.0
"""Longest time that the start may take, in seconds: a small board reads the libraries from a card."""
CHUNK = 256 * 1024
# use the parent's own import path: `python -m` would put the working directory before it
BOOT = "import sys; sys.path[:] = sys.argv[1:]; from vision_agent.decoding.child import main; main()"


class Decoder:
    """Decodes pictures from people in a separate process; the caller passes one at a time.

    The process starts with the first picture and ends when no picture has come for ``idle_s``. If the
    caller is cancelled or a picture takes too long, the process is killed, and the next picture gets a
    new one.

    Args:
        options: How to decode pictures, and what one may cost.
        idle_s: How long the process waits for the next picture, in seconds.
    """

    def __init__(self, options: DecodeOptions, *, idle_s: float = IDLE_S) -> None:
        self.killed = 0
        """Pictures that were being decoded when the process ended."""
        self._options = options
        self._idle_s = idle_s
        self._max_wall_s = 3 * options.max_cpu_s + 2  # the CPU may be busy with other things
        self._process: Process | None = None
        self._ending: Process | None = None  # killed, but perhaps not yet ended
        self._idle: asyncio.TimerHandle | None = None

    async def decode(self, data: bytes) -> EncodedImage:
        """Decode a picture file whose sender is not trusted.

        Raises:
            ImageError: It is not an accepted picture, takes too long, or crashed the process.
            RuntimeError: The process can't be started.
        """
        self._keep()
        process = await self._running()
        try:
            header, body = await self._ask(process, data)
        except BaseException:
            self.killed += 1
            self._kill()
            raise
        self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._kill)
        return unpack_reply(header, body)

    async def aclose(self) -> None:
        """End the process; safe to call twice."""
        self._keep()
        self._kill()
        await self._end()

    def _keep(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    async def _running(self) -> Process:
        """Return the process; start one if there is none."""
        await self._end()
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-c", BOOT, *sys.path), stdin=PIPE, stdout=PIPE
        )
        try:
            await self._started(self._process)
        except BaseException:
            self._kill()
            raise
        return self._process

    async def _started(self, process: Process) -> None:
        assert process.stdout is not None
        try:
            await within(START_S, process.stdout.readexactly(len(READY)))
        except asyncio.TimeoutError as error:
            raise RuntimeError(f"the decoder process did not start within {START_S:g} s") from error
        except asyncio.IncompleteReadError as error:
            code = await process.wait()
            raise RuntimeError(f"the decoder process ended at its start, with exit code {code}") from error

    async def _ask(self, process: Process, data: bytes) -> tuple[bytes, bytes]:
        try:
            return await within(self._max_wall_s, self._exchange(process, data))
        except asyncio.TimeoutError as error:
            raise ImageError(f"it could not be decoded within {self._max_wall_s:g} s") from error
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            code = await process.wait()
            if sys.platform != "win32" and code == -signal.SIGPROF:
                most = f"at most {self._options.max_cpu_s:g} s of CPU time are allowed"
                raise ImageError(f"it takes too long to decode: {most}") from error
            logger.error("the decoder process ended while it decoded a picture", extra={"exit_code": code})
            raise ImageError("the decoder failed on this picture") from error

    async def _exchange(self, process: Process, data: bytes) -> tuple[bytes, bytes]:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(pack_request(len(data), self._options))
        for start in range(0, len(data), CHUNK):
            process.stdin.write(data[start : start + CHUNK])
            await process.stdin.drain()
        header = await process.stdout.readexactly(REPLY.size)
        return header, await process.stdout.readexactly(REPLY.unpack(header)[-1])

    def _kill(self) -> None:
        if self._process is not None:
            self._ending, self._process = self._process, None
            with suppress(ProcessLookupError):  # it has already ended
                self._ending.kill()

    async def _end(self) -> None:
        """Wait until a killed process has ended."""
        if self._ending is not None:
            await self._ending.wait()
            assert self._ending.stdin is not None
            with suppress(ConnectionError):  # a file was not sent whole; unless we wait, Python 3.10 logs it
                await self._ending.stdin.wait_closed()
            self._ending = None
