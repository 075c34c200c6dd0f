"""The decoder process alone, and the order in which senders get their turn."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from vision_agent import EncodedImage, ImageError
from vision_agent.decoding.decoder import Decoder
from vision_agent.decoding.messages import DecodeOptions
from vision_agent.decoding.turns import Turns
from vision_agent.imaging.files import read_picture

from .decoders import decoders, gone, huge, stopped_amid_picture
from .files import FORMATS, bomb, file_of
from .waiting import until

PARENT = """
import asyncio, sys
from vision_agent.decoding.decoder import Decoder
from vision_agent.decoding.messages import DecodeOptions

options = DecodeOptions(max_side_px=768, max_pixels=50_000_000, quality=80, max_cpu_s=10)
asyncio.run(Decoder(options).decode(sys.stdin.buffer.read()))
"""


@asynccontextmanager
async def decoding(*, idle_s: float = 60, **changed: Any) -> AsyncIterator[Decoder]:
    options = {"max_side_px": 768, "max_pixels": 50_000_000, "quality": 80, "max_cpu_s": 10.0, **changed}
    decoder = Decoder(DecodeOptions(**options), idle_s=idle_s)
    try:
        yield decoder
    finally:
        await decoder.aclose()
        assert not decoders()


@pytest.mark.parametrize("format", FORMATS)
async def test_the_picture_is_the_one_that_is_read_here(format: str) -> None:
    data = file_of(format)
    async with decoding(max_side_px=200, quality=40) as decoder:
        decoded = await decoder.decode(data)
    assert decoded == read_picture(data, max_side_px=200, quality=40)


async def test_reasons_come_over_and_the_process_stays() -> None:
    async with decoding() as decoder:
        for data, said in (
            (b"text", "not a picture"),
            (b"", "not a picture"),
            (bomb(), "30000x30000 pixels"),
        ):
            with pytest.raises(ImageError, match=said):
                await decoder.decode(data)
        (process,) = decoders()
        assert (await decoder.decode(file_of("PNG"))).width == 640
        assert decoders() == [process] and decoder.killed == 0


def test_the_process_loads_nothing_but_what_decodes() -> None:
    loaded = "import sys, vision_agent.decoding.child; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in done.stdout.split()}
    assert "cv2" in packages and not packages & {"asyncio", "livekit", "av", "aiohttp"}


async def test_it_does_not_heed_signals_that_go_to_every_process_of_a_terminal() -> None:
    async with decoding() as decoder:
        await decoder.decode(file_of("PNG"))
        (process,) = decoders()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
        await decoder.decode(file_of("PNG"))
        assert decoders() == [process]


async def test_it_ends_when_no_picture_came_for_a_while_and_starts_again() -> None:
    async with decoding(idle_s=0.05) as decoder:
        for _ in range(2):
            assert isinstance(await decoder.decode(file_of("PNG")), EncodedImage)
            await until(lambda: not decoders())
        assert decoder.killed == 0


async def test_a_picture_that_takes_too_much_cpu_time_is_refused() -> None:
    async with decoding(max_cpu_s=0.1) as decoder:
        for killed in (1, 2):
            with pytest.raises(ImageError, match=r"at most 0\.1 s of CPU time"):
                await decoder.decode(huge())
            assert decoder.killed == killed
            # each picture has the whole time
            for _ in range(3):
                assert (await decoder.decode(file_of("PNG"))).width == 640


async def test_a_picture_that_takes_too_long_by_the_clock_is_refused() -> None:
    async with decoding(max_cpu_s=0.1) as decoder:
        await decoder.decode(file_of("PNG"))
        (process,) = decoders()
        process.suspend()
        with pytest.raises(ImageError, match=r"within 2\.3 s"):
            await decoder.decode(file_of("PNG"))
        await decoder.decode(file_of("PNG"))
        assert process not in decoders() and decoder.killed == 1


async def test_who_is_cancelled_takes_the_process_along() -> None:
    async with decoding() as decoder:
        task = asyncio.create_task(decoder.decode(huge()))
        process = await stopped_amid_picture()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await gone(process)
        assert (await decoder.decode(file_of("PNG"))).width == 640


async def test_a_process_that_dies_takes_one_picture_along(caplog: pytest.LogCaptureFixture) -> None:
    async with decoding() as decoder:
        task = asyncio.create_task(decoder.decode(huge()))
        (await stopped_amid_picture()).kill()
        with pytest.raises(ImageError, match="the decoder failed"):
            await task
        await decoder.decode(file_of("PNG"))
        (process,) = decoders()
        process.suspend()
        written = psutil.Process().io_counters().write_chars
        task = asyncio.create_task(decoder.decode(bytes(9_000_000)))
        await until(lambda: psutil.Process().io_counters().write_chars > written + 50_000)
        process.kill()  # before it had all of the file
        with pytest.raises(ImageError, match="the decoder failed"):
            await task
        await decoder.decode(file_of("PNG"))
        assert decoder.killed == 2
    message = "the decoder process ended while it decoded a picture"
    assert [record.message for record in caplog.records] == [message] * 2


async def test_a_process_that_died_while_it_was_idle_is_replaced() -> None:
    async with decoding() as decoder:
        await decoder.decode(file_of("PNG"))
        process = decoder._process  # only here we see whether asyncio has noticed the end
        assert process is not None
        process.kill()
        await until(lambda: process.returncode is not None)
        assert (await decoder.decode(file_of("PNG"))).width == 640
        assert decoder.killed == 0


@pytest.mark.parametrize("stopped", [False, True], ids=["at-work", "stopped"])
async def test_it_does_not_outlive_its_parent(stopped: bool) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdin=asyncio.subprocess.PIPE)
    try:
        assert parent.stdin is not None
        parent.stdin.write(huge())
        parent.stdin.close()
        process = await stopped_amid_picture(parent.pid)
        if not stopped:
            process.resume()
    finally:
        parent.kill()
        await parent.wait()
    await gone(process)


@pytest.mark.parametrize(
    ("program", "said"),
    [("/nonexistent/python", "nonexistent"), ("/bin/false", "at its start, with exit code")],
)
async def test_one_that_cannot_be_started_is_no_fault_of_the_picture(
    monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    async with decoding() as decoder:
        with monkeypatch.context() as patched, pytest.raises((OSError, RuntimeError), match=said):
            patched.setattr(sys, "executable", program)
            await decoder.decode(file_of("PNG"))
        assert (await decoder.decode(file_of("PNG"))).width == 640


async def test_nothing_of_the_working_directory_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL.py").write_text("raise SystemExit('not what was asked for')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    async with decoding() as decoder:
        assert (await decoder.decode(file_of("PNG"))).width == 640


async def test_everybody_comes_in_turn() -> None:
    turns, order, gate = Turns(), list[str](), asyncio.Event()

    async def have(name: str) -> None:
        async with turns.turn(name[0]):
            order.append(name)
            await gate.wait()

    names = ("a1", "a2", "a3", "a4", "b1", "b2", "c1")
    tasks = {name: asyncio.create_task(have(name)) for name in names}
    await until(lambda: order == ["a1"])
    tasks["a3"].cancel()
    tasks["c1"].cancel()
    gate.set()
    await asyncio.wait(tasks.values())
    assert order == ["a1", "b1", "a2", "b2", "a4"]
    async with turns.turn("a"):  # nothing is held any longer
        pass


async def test_a_turn_that_is_not_taken_goes_to_the_next() -> None:
    turns, order = Turns(), list[str]()

    async def have(name: str) -> None:
        async with turns.turn(name):
            order.append(name)

    async with turns.turn("a"):
        tasks = [asyncio.create_task(have(name)) for name in ("b", "c", "d")]
        await asyncio.wait(tasks, timeout=0.01)
    tasks[0].cancel()  # it has been called, but has not run since
    await asyncio.wait(tasks)
    assert order == ["c", "d"] and tasks[0].cancelled()
