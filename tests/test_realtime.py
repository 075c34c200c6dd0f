"""A realtime model (Gemini Live's real client) that gets frames while it listens."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.genai import types
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.run_result import RunResult
from livekit.plugins import google

from vision_agent import EncodedImage, Frame, Sighting, Vision, VisionAgent, VisionOptions
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.models.reading import read_codes, read_text
from vision_agent.realtime import RealtimeFeed, policy_of
from vision_agent.sources.testcard import TestcardSource
from vision_agent.testing.server import LocalServer
from vision_agent.views.filters import Filters, MaskRegion

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
        assert policy_of(session.current_agent.realtime_llm_session) == "stream"
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
        await until(lambda: '[no picture from "desk": it is muted]' in gemini.texts)
        count = len(gemini.frames)
        answer = await ask(session)
        assert "muted" in answer and not codes(answer)
        assert len(gemini.frames) == count  # no old picture counts as current
        source.problem = None
        await until(lambda: gemini.texts[-1] == '["desk" shows what is there now, again]')
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
            (seen,) = await feed.sightings()  # what the model would mark
            assert (seen.view, seen.purpose) == ("testcard", "realtime")
            assert seen.taken_s is not None and at_s - seen.taken_s < 1
            assert seen.image is not None and (seen.image.width, seen.image.height) == (320, 180)
            (again,) = read_codes(decode_jpeg(seen.image.data))
            assert again.text == mark.text
        finally:
            await feed.aclose()
    assert lines == []


async def test_a_typed_question_gets_the_picture_of_its_moment_however_rare_the_frames_are() -> None:
    pushed: list[rtc.VideoFrame] = []
    options = VisionOptions(silent_fps=0.01, max_side_px=640)
    async with Vision(source=TestcardSource(fps=30), options=options) as vision:
        async with feeding(RealtimeFeed(vision, push=pushed.append, tell=no_line)) as feed:
            await until(lambda: len(pushed) == 1)
            first = code_of(pushed[0])
            await until(lambda: time.time() > first + 2.2)
            feed.typed()
            assert len(pushed) == 2  # before the model is asked
            assert time.time() - 0.5 <= code_of(pushed[1]) + 1


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


async def test_an_error_of_the_model_s_client_costs_one_picture_and_is_logged_once_a_kind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors: list[Exception] = [RuntimeError("gone"), RuntimeError("gone"), ValueError("odd")]
    pushed: list[rtc.VideoFrame] = []
    lines: list[str] = []
    source = CardSource()

    def push(frame: rtc.VideoFrame) -> None:
        if errors:
            raise errors.pop(0)
        pushed.append(frame)

    async def tell(line: str) -> None:
        lines.append(line)

    async with Vision(source=source, options=VisionOptions(silent_fps=0.01)) as vision:
        async with feeding(RealtimeFeed(vision, push=push, tell=tell)) as feed:
            await until(lambda: len(pushed) == 1)  # the fourth attempt; the rate is one picture in 100 s
            feed.typed()
            await until(lambda: len(pushed) > 1)
            source.problem = "it is muted"
            await until(lambda: lines == ['[no picture from "desk": it is muted]'])
            count, source.problem = len(pushed), None
            await until(lambda: len(pushed) > count and len(lines) == 2)
    failed = [each for each in caplog.records if "did not reach the model" in each.getMessage()]
    assert [each.__dict__["reason"] for each in failed] == ["RuntimeError", "ValueError"]


async def test_a_line_that_fails_is_told_again_and_frames_go_on_beside_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pushed: list[rtc.VideoFrame] = []
    tried: list[str] = []
    told: list[str] = []
    broken = asyncio.Event()
    source = CardSource()

    async def tell(line: str) -> None:
        tried.append(line)
        if len(tried) == 3:  # the third one hangs, then fails
            await broken.wait()
        if len(tried) < 4:
            raise RuntimeError("update_chat_ctx timed out.")
        told.append(line)

    async with Vision(source=source, options=VisionOptions(silent_fps=20)) as vision:
        async with feeding(RealtimeFeed(vision, push=pushed.append, tell=tell)):
            await until(lambda: bool(pushed))
            source.problem = "it is muted"
            await until(lambda: len(tried) == 3)
            assert set(tried) == {'[no picture from "desk": it is muted]'}
            count, source.problem = len(pushed), None
            await until(lambda: len(pushed) > count + 5)  # while a line is stuck
            broken.set()
            await until(lambda: told == ['["desk" shows what is there now, again]'])
    failed = [each for each in caplog.records if "a line did not reach the model" in each.getMessage()]
    assert [each.__dict__["subject"] for each in failed] == ["desk"]


async def test_a_source_that_raises_where_it_must_not_blinds_the_model_for_a_moment_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pushed: list[rtc.VideoFrame] = []
    source = MoodySource()
    async with Vision(source=source, options=VisionOptions(silent_fps=20)) as vision:
        async with feeding(RealtimeFeed(vision, push=pushed.append, tell=no_line)):
            await until(lambda: len(pushed) > 2)
            source.moody = True
            await until(lambda: not source.moody)
            count = len(pushed)
            await until(lambda: len(pushed) > count + 2)
    assert "realtime feed of desk failed, trying again in 0.25 s" in caplog.messages


async def test_what_the_model_saw_goes_through_the_lens_and_is_noted_when_a_tool_asks() -> None:
    pushed: list[rtc.VideoFrame] = []
    options = VisionOptions(silent_fps=20, max_side_px=200, quality=30)
    filters: Filters = {"desk": [MaskRegion((0.0, 0.0, 1.0, 1.0))]}
    async with Vision(source=CardSource(), options=options, filters=filters) as vision:
        async with feeding(RealtimeFeed(vision, push=pushed.append, tell=no_line)) as feed:
            assert await feed.sightings() == []
            await until(lambda: bool(pushed))
            assert (pushed[0].width, pushed[0].height) == (200, 112)
            assert read_codes(Frame.from_video_frame(pushed[0], captured_s=0.0).to_rgb()) == []
            assert vision.ledger.statistics().sightings == 0
            (seen,) = await feed.sightings()
            assert seen.image is not None and (seen.image.width, seen.image.height) == (200, 112)
            assert np.ptp(decode_jpeg(seen.image.data)) < 8  # grey all over
            assert vision.ledger.get(seen.id) is seen
        assert await feed.sightings() == []


async def test_at_rest_a_typed_question_gets_the_small_picture_at_hand_then_the_large_one(
    server: LocalServer,
) -> None:
    shown = Conversation()
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        options = VisionOptions(max_side_px=640, grace_s=3.0)
        async with Vision.for_room(room, options=options) as vision, publishing(alice):
            feed = RealtimeFeed(vision, push=no_frame, tell=no_line, policy="items", items=shown)
            async with feeding(feed):
                await until(lambda: bool(vision.eyes) and side_px(vision) == 320)
                feed.typed()
                assert [each.width for each in shown.images] == [320]
                await until(lambda: len(shown.images) > 1)
                feed.typed()
                await until(lambda: side_px(vision) == 320)
    assert [each.width for each in shown.images] == [320, 640, 640]
    assert shown.closed


@asynccontextmanager
async def feeding(feed: RealtimeFeed) -> AsyncIterator[RealtimeFeed]:
    feed.start()
    try:
        yield feed
    finally:
        await feed.aclose()


class MoodySource(CardSource):
    """Raises an error once when it is asked why it shows nothing."""

    def __init__(self) -> None:
        self.moody = False
        super().__init__()

    def __getattribute__(self, name: str) -> Any:
        if name == "problem" and self.moody:
            self.moody = False
            raise RuntimeError("no idea")
        return super().__getattribute__(name)


class Conversation:
    """Records the pictures that a conversation would contain."""

    def __init__(self) -> None:
        self.images: list[EncodedImage] = []
        self.closed = False

    def show(self, sighting: Sighting) -> None:
        assert sighting.image is not None
        self.images.append(sighting.image)

    def withdraw(self, view: str) -> None:
        pass

    def is_busy(self, view: str) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def side_px(vision: Vision) -> int:
    latest = vision.eyes[0].watcher.latest
    return 0 if latest is None else latest.width


def no_frame(frame: rtc.VideoFrame) -> None:
    raise AssertionError("this model takes no frames")


async def no_line(line: str) -> None:
    """Take the lines for the model."""


def code_of(frame: rtc.VideoFrame) -> int:
    (mark,) = read_codes(Frame.from_video_frame(frame, captured_s=0.0).to_rgb())
    return codes(mark.text)[0]


def are_full_size(frames: Sequence[rtc.VideoFrame]) -> bool:
    return all(frame.width == 640 for frame in frames)


async def names_on(frame: rtc.VideoFrame) -> set[str]:
    """Read the names of views on a frame; the text reader may leave out spaces."""
    rgb = Frame.from_video_frame(frame, captured_s=0.0).to_rgb()
    lines = await asyncio.to_thread(read_text, rgb)
    return {text for line in lines if "alice" in (text := line.text.replace(" ", ""))}
