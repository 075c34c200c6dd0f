"""``vision-agent chat``: a conversation in the terminal, with a status line about the source."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.history import InMemoryHistory

from .config import Config
from .conversation import Answer, Conversation
from .errors import ConfigError, VisionAgentError
from .imaging.jpeg import EncodedImage
from .signals import stop_signals
from .views.eye import Eye

REFRESH_S = 0.5
"""How often the status line is redrawn, in seconds."""
RATE_WINDOW_S = 2.0
"""Time over which the frame rate is counted, in seconds."""
HELP = """\
Ask about what the camera sees, in your own words.
/status  the source, its frames and the model
/counts  counts of frames and pictures since the start
/help    this text
/quit    leave; so do Ctrl-D and Ctrl-C
Marked pictures need a place: start with --save DIR to let the agent make them."""


class FolderOutput:
    """Saves the agent's pictures as files; it never overwrites one.

    Args:
        folder: Where they go; created if it is missing.

    Raises:
        ConfigError: The folder can't be created.
    """

    def __init__(self, folder: Path) -> None:
        self.saved: deque[Path] = deque()
        """New files that have not been announced yet."""
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--save {folder}: {error.strerror}") from error

    async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
        """Write one picture under an unused name.

        Raises:
            OSError: It can't be written.
        """
        self.saved.append(await asyncio.to_thread(self._write, image, name))

    def _write(self, image: EncodedImage, name: str) -> Path:
        suffix, count = image.mime_type.partition("/")[2], 1
        while True:
            path = self._folder / f"{name}{f'-{count}' if count > 1 else ''}.{suffix}"
            try:
                with path.open("xb") as file:
                    file.write(image.data)
                return path
            except FileExistsError:
                count += 1


class Status:
    """The line about the source, the model and the last answer."""

    def __init__(self, conversation: Conversation) -> None:
        self.answer: Answer | None = None
        self._conversation = conversation
        self._counts: dict[str, deque[tuple[float, int]]] = {}

    def line(self) -> str:
        """Return the current line."""
        now_s = time.monotonic()
        parts = [self._view(eye, now_s) for eye in self._conversation.vision.eyes]
        parts.append(f"model {self._conversation.model_name}")
        if self.answer is not None:
            parts.append(f"last answer {self.answer.latency_ms:.0f} ms")
        return " | ".join(parts)

    def _view(self, eye: Eye, now_s: float) -> str:
        counts = self._counts.setdefault(eye.source.name, deque(maxlen=256))
        counts.append((now_s, eye.watcher.statistics.received))
        while len(counts) > 2 and now_s - counts[1][0] > RATE_WINDOW_S:
            counts.popleft()
        problem, frame = eye.watcher.problem(), eye.watcher.latest
        if problem is not None or frame is None:
            return f"{eye.source.name}: {problem or 'no picture'}"
        (first_s, first), (last_s, last) = counts[0], counts[-1]
        rate = (
            f"{(last - first) / (last_s - first_s):.0f} fps | " if last_s - first_s >= REFRESH_S / 2 else ""
        )
        age_ms = (now_s - frame.captured_s) * 1000
        return f"{eye.source.name} {frame.width}x{frame.height} | {rate}newest {age_ms:.0f} ms old"


async def chat(config: Config, *, source: str, save: Path | None = None) -> int:
    """Talk until the person leaves or the input ends.

    Args:
        config: Settings of the agent.
        source: URI of what to look at.
        save: Folder for marked pictures; None: the agent makes none, and nothing is left on disk.

    Returns:
        0, or 128 plus the number of the signal that ended it.

    Raises:
        VisionAgentError: It could not start, or a question of a script could not be answered.
    """
    with stop_signals() as asked:
        talk = asyncio.create_task(_talk(config, source, save), name="chat")
        stop = asyncio.create_task(asked.get(), name="chat stop")
        try:
            await asyncio.wait({talk, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (talk, stop):
                task.cancel()
            await asyncio.gather(talk, stop, return_exceptions=True)
    if talk.cancelled():
        return 128 + stop.result() if not stop.cancelled() else 130
    return talk.result()


async def _talk(config: Config, source: str, save: Path | None) -> int:
    output = None if save is None else FolderOutput(save)
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    async with Conversation(config, source=source, on_text=_write, output=output) as conversation:
        status = Status(conversation)
        status.line()  # the frame rate counts from here
        if interactive:
            _write("Ask about what the camera sees. /help tells more.\n")
        questions = _typed(conversation, status) if interactive else _piped(sys.stdin)
        async with aclosing(questions) as each:
            async for question in each:
                if question in ("/quit", "/exit"):
                    break
                if question == "/help":
                    _write(f"{HELP}\n")
                elif question == "/status":
                    _write(f"{status.line()}\n")
                elif question == "/counts":
                    _write("".join(f"{line}\n" for line in conversation.vision.statistics().lines()))
                elif question.startswith("/"):
                    _write(f"{question.split()[0]} is no command; /help lists them\n")
                else:
                    try:
                        status.answer = await conversation.ask(question)
                    except VisionAgentError as error:
                        if not interactive:
                            raise
                        _write(f"! {error}")
                    _write("\n")
                while output is not None and output.saved:
                    _write(f"[saved {output.saved.popleft()}]\n")
    return 0


async def _typed(conversation: Conversation, status: Status) -> AsyncGenerator[str, None]:
    """Yield the lines that a person types; the first key already raises the view to full size."""
    prompt: PromptSession[str] = PromptSession(
        "you> ", history=InMemoryHistory(), bottom_toolbar=status.line, refresh_interval=REFRESH_S
    )
    held = False

    def on_key(buffer: object) -> None:
        nonlocal held
        if not held:
            held = True
            conversation.vision.hold()

    prompt.default_buffer.on_text_changed += on_key
    while True:
        try:
            line = (await prompt.prompt_async(handle_sigint=False)).strip()
            if line:
                yield line
        except EOFError:
            return
        except KeyboardInterrupt:  # Ctrl-C as a key: send the signal, so that one path handles both
            signal.raise_signal(signal.SIGINT)
            await asyncio.get_running_loop().create_future()
        finally:
            if held:
                held = False
                conversation.vision.release()


async def _piped(stream: TextIO) -> AsyncGenerator[str, None]:
    """Yield the lines of a pipe or a file; a pipe nobody writes to does not keep the process alive."""
    mode = os.fstat(stream.fileno()).st_mode
    if os.name != "posix" or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        while line := await asyncio.to_thread(stream.readline):
            if line.strip():
                yield line.strip()
        return
    reader = asyncio.StreamReader(limit=1_000_000)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), stream
    )
    try:
        while data := await reader.readline():
            if text := data.decode(errors="replace").strip():
                yield text
    finally:
        transport.close()


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
