"""A realtime model, Gemini Live's real client, fed with frames while it listens."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.genai import types
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.run_result import RunResult
from livekit.plugins import google

from vision_agent import Frame, Vision, VisionAgent, VisionOptions
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.models.reading import read_codes, read_text
from vision_agent.realtime import RealtimeFeed
from vision_agent.sources.testcard import TestcardSource
from vision_agent.testing.server import LocalServer

from .cards import CardSource
from .gemini_live import GeminiLiveServer
from .rooms import codes, joined, publishing
from .waiting import until

pytestmark = [  # of livekit's plugin and Google's client, not ours
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`:DeprecationWarning"),
]


@pytest.fixture
async def gemini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GeminiLiveServer]:
    async with GeminiLiveServer(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        yield server


@asynccontextmanager
async def talking_to(gemini: GeminiLiveServer, vision: Vision) -> AsyncIterator[AgentSession[Any]]:
    model = google.realtime.RealtimeModel(
        api_key="x",
        modalities=[types.Modality.TEXT],
        http_options=types.HttpOptions(base_url=gemini.base_url),
    )
    async with AgentSession[Any](llm=model) as session:
        await session.start(VisionAgent(vision=vision))
        yield session
    await model.aclose()


async def ask(session: AgentSession[Any], question: str = "What does the code say?") -> str:
    result: RunResult[Any] = await session.run(user_input=question)
    said = [e.item.text_content or "" for e in result.events if e.type == "message"]
    return said[-1]


async def test_frames_come_small_at_the_silent_rate_and_a_typed_question_gets_one_of_its_moment(
    gemini: GeminiLiveServer,
) -> None:
    options = VisionOptions(silent_fps=2.0, max_side_px=640)
    async with talking_to(gemini, Vision(source=TestcardSource(), options=options)) as session:
        await until(lambda: len(gemini.frames) >= 4)
        times = [at for at, _, _ in gemini.frames]
        assert 0.3 < (times[-1] - times[0]) / (len(times) - 1) < 1.0
        for _ in range(5):
            count, asked_s = len(gemini.frames), time.time()
            answer = await ask(session)
            (code,) = codes(answer)
            assert asked_s - 1.5 <= code + 1 and code <= time.time()
            assert len(gemini.frames) > count  # one came with the question
    assert {size_wh[0] / size_wh[1] for _, _, size_wh in gemini.frames} == {16 / 9}


async def test_a_camera_that_goes_away_is_told_once_and_so_is_its_return(gemini: GeminiLiveServer) -> None:
    source = CardSource()
    options = VisionOptions(silent_fps=5.0)
    async with talking_to(gemini, Vision(source=source, options=options)) as session:
        await until(lambda: bool(gemini.frames))
        assert codes(await ask(session)) == [1_700_000_000]
        source.problem = "it is muted"
        await until(lambda: "[no picture from desk: it is muted]" in gemini.texts)
        count = len(gemini.frames)
        answer = await ask(session)
        assert "muted" in answer and not codes(answer)
        assert len(gemini.frames) == count  # no old picture passes for now
        source.problem = None
        await until(lambda: gemini.texts[-1] == "[desk shows what is there now, again]")
        assert codes(await ask(session)) == [1_700_000_000]
    assert len([text for text in gemini.texts if text.startswith("[no picture")]) == 1


async def test_without_a_camera_the_model_is_told(gemini: GeminiLiveServer) -> None:
    async with talking_to(gemini, Vision(source=None)) as session:
        await until(lambda: bool(gemini.texts))
        assert "there is no camera" in await ask(session)


async def test_speech_raises_the_rate_and_its_end_brings_the_picture_of_that_moment() -> None:
    pushed: list[tuple[float, rtc.VideoFrame]] = []
    lines: list[str] = []

    async def tell(line: str) -> None:
        lines.append(line)

    options = VisionOptions(silent_fps=0.01, speaking_fps=5.0, max_side_px=320)
    async with Vision(source=TestcardSource(fps=30), options=options) as vision:
        feed = RealtimeFeed(vision, push=lambda frame: pushed.append((time.time(), frame)), tell=tell)
        feed.start()
        try:
            await until(lambda: len(pushed) == 1)  # the first one, and at this rate no other
            feed.speech(True)
            await until(lambda: len(pushed) >= 6)
            gaps = [b[0] - a[0] for a, b in itertools.pairwise(pushed[1:])]
            assert 0.15 < sum(gaps) / len(gaps) < 0.4
            feed.speech(False)
            count, ended_s = len(pushed), time.time()
            await until(lambda: len(pushed) == count + 1)
            at_s, frame = pushed[-1]
            assert at_s - ended_s < 1 and (frame.width, frame.height) == (320, 180)
            (mark,) = read_codes(Frame.from_video_frame(frame, captured_s=0.0).to_rgb())
            assert ended_s - 0.3 <= codes(mark.text)[0] + 1 and codes(mark.text)[0] <= at_s
            (shown,) = feed.shown()  # what the model would mark
            assert shown.view == "testcard" and shown.taken_s is not None and at_s - shown.taken_s < 1
            (again,) = read_codes(decode_jpeg(base64.b64decode(shown.data_url.partition(",")[2])))
            assert again.text == mark.text
        finally:
            await feed.aclose()
    assert lines == []


async def test_a_typed_question_gets_the_picture_of_its_moment_however_rare_the_frames_are() -> None:
    pushed: list[rtc.VideoFrame] = []
    options = VisionOptions(silent_fps=0.01, max_side_px=640)
    async with Vision(source=TestcardSource(fps=30), options=options) as vision:
        feed = RealtimeFeed(vision, push=pushed.append, tell=no_line)
        feed.start()
        try:
            await until(lambda: len(pushed) == 1)
            first = code_of(pushed[0])
            await until(lambda: time.time() > first + 2.2)
            feed.typed()
            assert len(pushed) == 2  # before the model is asked
            assert time.time() - 0.5 <= code_of(pushed[1]) + 1
        finally:
            await feed.aclose()


async def test_of_several_views_each_frame_bears_its_name(server: LocalServer) -> None:
    pushed: list[rtc.VideoFrame] = []
    screen = rtc.TrackSource.SOURCE_SCREENSHARE
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        async with Vision.for_room(room, options=VisionOptions(silent_fps=5, max_side_px=640)) as vision:
            feed = RealtimeFeed(vision, push=pushed.append, tell=no_line)
            feed.start()
            try:
                async with publishing(alice):
                    await until(lambda: bool(pushed))
                    assert await names_on(pushed[0]) == set()
                    async with publishing(alice, screen, late_s=5000):
                        vision.hold()
                        await until(lambda: len(vision.eyes) == 2)
                        count, found = len(pushed), set()
                        await until(lambda: len(pushed) > count + 20 and are_full_size(pushed[-6:]))
                        for frame in pushed[-6:]:
                            is_late = time.time() - code_of(frame) > 4000
                            name = "screenofalice" if is_late else "cameraofalice"
                            assert await names_on(frame) == {name}
                            found.add(name)
                        assert len(found) == 2
                        vision.release()
            finally:
                await feed.aclose()


async def no_line(line: str) -> None:
    """Take what the model is told."""


def code_of(frame: rtc.VideoFrame) -> int:
    (mark,) = read_codes(Frame.from_video_frame(frame, captured_s=0.0).to_rgb())
    return codes(mark.text)[0]


def are_full_size(frames: Sequence[rtc.VideoFrame]) -> bool:
    return all(frame.width == 640 for frame in frames)


async def names_on(frame: rtc.VideoFrame) -> set[str]:
    """Read the names of views written on a frame; the reader leaves out the spaces as it likes."""
    rgb = Frame.from_video_frame(frame, captured_s=0.0).to_rgb()
    lines = await asyncio.to_thread(read_text, rgb)
    return {text for line in lines if "alice" in (text := line.text.replace(" ", ""))}
