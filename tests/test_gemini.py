"""The real Gemini client against a server that speaks its wire format and reads the pixels."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.genai import types
from livekit.agents import AgentSession, function_tool
from livekit.agents.voice.run_result import RunResult
from livekit.plugins import google
from PIL import Image

from vision_agent import ConfigError, Vision, VisionAgent, VisionOptions, initial_context
from vision_agent.models import open_model
from vision_agent.sources.testcard import render
from vision_agent.testing.server import LocalServer

from .cards import CardSource, frame_code
from .files import FORMATS, file_of
from .gemini import KEY, GeminiServer, pictures
from .rooms import ask, joined
from .sending import Sender

MODEL = "gemini-2.5-flash"

# the Gemini client subclasses aiohttp's session, on its first request
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


@pytest.fixture
async def gemini() -> AsyncIterator[GeminiServer]:
    async with GeminiServer() as server:
        yield server


@asynccontextmanager
async def talking_to(gemini: GeminiServer, agent: VisionAgent) -> AsyncIterator[AgentSession[Any]]:
    options = types.HttpOptions(base_url=gemini.base_url)
    model = google.LLM(model=MODEL, api_key=KEY, http_options=options)
    async with model, AgentSession[Any](llm=model) as session:
        await session.start(agent)
        yield session


def turns_with_pictures(request: dict[str, Any]) -> int:
    return sum(len(pictures(turn["parts"])) for turn in request["contents"])


async def test_two_turns_carry_the_picture_of_their_moment_with_its_type_and_line(
    gemini: GeminiServer,
) -> None:
    source = CardSource()
    async with Vision(source=source) as vision:
        async with talking_to(gemini, VisionAgent(vision=vision)) as session:
            for moment_s in (1_700_000_000, 1_700_000_060):
                source.moment_s = moment_s
                while await frame_code(vision) != f"VA-{moment_s}":
                    pass
                answer = await ask(session, "What does the QR code say?")
                assert answer == f"The code says VA-{moment_s}."
    first, second = gemini.requests
    assert "camera" in first["systemInstruction"]["parts"][0]["text"]
    question, line, picture = first["contents"][-1]["parts"]
    assert question == {"text": "What does the QR code say?"}
    assert line["text"].startswith('[picture: "desk", seen ') and line["text"].endswith(
        " ms before this question]"
    )
    assert picture["inlineData"]["mimeType"] == "image/jpeg"
    assert [turn["role"] for turn in second["contents"]] == ["user", "model", "user"]
    assert second["contents"][0] == first["contents"][0]  # the history holds the very same picture


async def test_no_more_than_max_images_on_the_wire(gemini: GeminiServer) -> None:
    async with Vision(source=CardSource(), options=VisionOptions(max_images=2)) as vision:
        async with talking_to(gemini, VisionAgent(vision=vision)) as session:
            for _ in range(4):
                await ask(session, "What does the QR code say?")
    assert [turns_with_pictures(request) for request in gemini.requests] == [1, 2, 2, 2]
    assert "no longer shown" in json.dumps(gemini.requests[-1]["contents"][0])


async def test_pictures_of_the_start_are_on_the_wire(gemini: GeminiServer, tmp_path: Path) -> None:
    (tmp_path / "start.png").write_bytes(file_of("PNG"))
    url = "https://pictures.example/part.png"
    chat_ctx = await initial_context([tmp_path / "start.png", url])
    async with Vision(source=None) as vision:
        agent = VisionAgent(vision=vision, chat_ctx=chat_ctx)
        async with talking_to(gemini, agent) as session:
            assert "VA-1700000000" in await ask(session, "What does the QR code say?")
    (request,) = gemini.requests
    parts = request["contents"][0]["parts"]
    assert {"text": '[picture 1 of 2: given at the start, "start.png"]'} in parts
    assert {"fileData": {"fileUri": url, "mimeType": "image/png"}} in parts
    assert turns_with_pictures(request) == 1


async def test_each_kind_of_file_that_is_sent_is_on_the_wire_as_the_picture_it_is(
    gemini: GeminiServer, server: LocalServer
) -> None:
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        sender = Sender(alice)
        async with Vision.for_room(room) as vision:
            async with talking_to(gemini, VisionAgent(vision=vision)) as session:
                for n, format in enumerate(FORMATS):
                    card = Image.fromarray(render(1_700_000_000.0 + n, (640, 360)))
                    result = await sender.send(file_of(format, card), f"card {n}", "application/pdf", format)
                    assert result["accepted"], result
                    answer = await ask(session, "What does the QR code say?")
                    assert f"VA-{1_700_000_000 + n}" in answer
                    turns = gemini.requests[-1]["contents"]
                    parts = [part for turn in turns if turn["role"] == "user" for part in turn["parts"]]
                    at = [
                        index
                        for index, part in enumerate(parts)
                        if f'caption "{format}"' in part.get("text", "")
                    ][-1]
                    picture = parts[at + 1]  # right behind its line
                    assert picture["inlineData"]["mimeType"] == "image/jpeg"
                    (shown,) = pictures([picture])
                    assert np.abs(shown.astype(int) - np.asarray(card)).mean() < 6


async def test_a_muted_and_a_missing_camera_are_told(gemini: GeminiServer) -> None:
    source = CardSource()
    source.problem, options = "the camera is muted", VisionOptions(max_wait_s=0.1)
    for vision, said in (
        (Vision(source=source, options=options), '[no picture from "desk": the camera is muted]'),
        (Vision(source=None), "[no picture: there is no camera]"),
    ):
        async with vision, talking_to(gemini, VisionAgent(vision=vision)) as session:
            assert await ask(session, "What does the QR code say?") == said
        assert turns_with_pictures(gemini.requests[-1]) == 0


async def test_a_tool_is_called_with_what_was_read_and_its_result_is_answered(gemini: GeminiServer) -> None:
    noted: list[str] = []

    class Noting(VisionAgent):
        @function_tool
        async def take_note(self, code: str) -> str:
            """Keep a code."""
            noted.append(code)
            return f"kept {code}"

    async with Vision(source=CardSource()) as vision:
        async with talking_to(gemini, Noting(vision=vision)) as session:
            result: RunResult[Any] = await session.run(user_input="Use take_note on the code.")
            said = [e.item.text_content for e in result.events if e.type == "message"]
    assert noted == ["VA-1700000000"] and said[-1] == "The tool said: kept VA-1700000000"
    called, answered = gemini.requests
    assert turns_with_pictures(called) == turns_with_pictures(answered) == 1  # the same view, once
    assert answered["contents"][-1]["parts"][0]["functionResponse"]["name"] == "take_note"


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="set GOOGLE_API_KEY"):
        open_model(f"google/{MODEL}")


async def run_ask(*args: str, **environment: str) -> tuple[int, str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "GEMINI_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from vision_agent.cli import main; raise SystemExit(main())"),
        *("ask", "--model", f"google/{MODEL}", *args, "What does the QR code say?"),
        env=kept | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode is not None
    return process.returncode, stdout.decode(), stderr.decode()


async def test_ask_through_the_command(gemini: GeminiServer) -> None:
    started_s = int(time.time())
    code, stdout, stderr = await run_ask("--json", GOOGLE_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=gemini.base_url)
    assert code == 0, stderr
    shown = int(json.loads(stdout)["answer"].removeprefix("The code says VA-").removesuffix("."))
    assert started_s <= shown <= int(time.time())
    assert turns_with_pictures(gemini.requests[0]) == 1


async def test_ask_without_a_key_is_one_line_and_exit_2() -> None:
    code, stdout, stderr = await run_ask()
    assert (code, stdout) == (2, "") and len(stderr.splitlines()) == 1
    assert f"model 'google/{MODEL}': set GOOGLE_API_KEY" in stderr
