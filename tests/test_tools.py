"""The annotate tool, from the question to a picture at a second client."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, AgentSession, ToolError, llm

from vision_agent import EncodedImage, Vision, VisionAgent, VisionOptions
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.imaging.jpeg import encode_rgb
from vision_agent.models.reading import read_codes
from vision_agent.testing.server import LocalServer
from vision_agent.tools import MarkedBox, annotate_tool
from vision_agent.turns.context import Shown

from .cards import CardSource, ListeningLLM, images_in
from .rooms import ask, ask_until, codes, joined, publishing


class KeptOutput:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[EncodedImage, dict[str, str]]] = []

    async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
        self.sent.append((image, dict(attributes)))


async def test_the_drawing_is_on_the_very_picture_the_model_saw() -> None:
    source, output, model = CardSource(), KeptOutput(), ListeningLLM()
    async with Vision(source=source) as vision, AgentSession[Any](llm=model) as session:
        await session.start(VisionAgent(vision=vision, output=output))
        assert "I marked VA-1700000000" in await ask(session, "Where is the QR code? Please mark it.")
        ((image, attributes),) = output.sent
        assert attributes["view"] == "desk" and attributes["turn"] == "1"
        assert attributes["size"] == f"{image.width}x{image.height}" == "640x360"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", attributes["time"])
        seen, drawn = _pixels(images_in(model.requests[0])[-1]), decode_jpeg(image.data)
        (box,) = json.loads(attributes["boxes"])
        left, top, right, bottom = box["xyxy"]
        crop = (slice(top + 2, bottom - 2), slice(left + 2, right - 2))
        assert np.abs(drawn[crop].astype(int) - seen[crop]).mean() < 3
        assert box["label"] == "VA-1700000000"
        # the request after the tool call still carries the picture, the same one
        assert images_in(model.requests[1]) == images_in(model.requests[0])
        assert isinstance(model.requests[1].items[-1], llm.FunctionCallOutput)


async def test_a_call_the_tool_cannot_do_is_answered_and_the_session_goes_on() -> None:
    output = KeptOutput()
    async with Vision(source=CardSource()) as vision, AgentSession[Any](llm=InsistentLLM()) as session:
        await session.start(VisionAgent(vision=vision, output=output))
        assert "left < right" in await ask(session, "Mark the code")
        assert "VA-" in await ask(session, "What does the QR code say?")
    assert output.sent == []


def _shown(view: str, turn: int, level: int = 128) -> Shown:
    image = encode_rgb(np.full((90, 160, 3), level, np.uint8), max_side_px=160)
    return Shown(view=view, data_url=image.data_url(), taken_s=1_700_000_000.0, turn=turn)


async def _call(tool: llm.Tool, **arguments: str) -> str:
    assert isinstance(tool, llm.FunctionTool)
    boxes = [MarkedBox(label="cup", left=100, top=100, right=900, bottom=900)]
    return await cast("Callable[..., Awaitable[str]]", tool)(boxes=boxes, **arguments)


async def test_of_several_views_the_model_must_say_which() -> None:
    output = KeptOutput()
    pictures = [_shown("camera of ann", 2), _shown("screen of ann", 2), _shown("door", 1)]
    tool = annotate_tool(lambda: pictures, output)
    with pytest.raises(ToolError, match=r"which view the boxes are on: 'camera of ann', 'screen of ann'$"):
        await _call(tool)
    with pytest.raises(ToolError, match=r"no picture of 'window': 'camera of ann', 'screen of ann', 'door'$"):
        await _call(tool, view="window")
    assert "screen of ann" in await _call(tool, view=" Screen of Ann")
    assert "door" in await _call(tool, view="door")  # an older one can be named
    assert [attributes["view"] for _, attributes in output.sent] == ["screen of ann", "door"]


async def test_the_only_view_of_the_turn_needs_no_name() -> None:
    output = KeptOutput()
    for pictures in ([_shown("desk", 2), _shown("upload", 0), _shown("door", 1)], [_shown("desk", 0)]):
        await _call(annotate_tool(lambda p=pictures: p, output))  # type: ignore[misc]
    assert [attributes["view"] for _, attributes in output.sent] == ["desk", "desk"]
    with pytest.raises(ToolError, match="say which view"):  # sent behind the question
        await _call(annotate_tool(lambda: [_shown("upload", 0), _shown("desk", 2)], output))
    with pytest.raises(ToolError, match="no picture to mark"):
        await _call(annotate_tool(lambda: [], output))


class InsistentLLM(ListeningLLM):
    """Asks for an empty box at its first request."""

    def chat(self, *, chat_ctx: llm.ChatContext, **kwargs: Any) -> llm.LLMStream:
        if self.requests:
            return super().chat(chat_ctx=chat_ctx, **kwargs)
        self.requests.append(chat_ctx)
        return _EmptyBox(self, chat_ctx=chat_ctx, tools=[], conn_options=DEFAULT_API_CONNECT_OPTIONS)


class _EmptyBox(llm.LLMStream):
    async def _run(self) -> None:
        box = {"label": "code", "left": 5, "top": 5, "right": 5, "bottom": 5}
        call = llm.FunctionToolCall(name="annotate", arguments=json.dumps({"boxes": [box]}), call_id="c1")
        delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))


async def test_a_marked_picture_arrives_byte_identical_at_a_second_client(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    arrived: asyncio.Queue[tuple[bytes, rtc.ByteStreamInfo]] = asyncio.Queue()
    tasks: set[asyncio.Task[None]] = set()

    def on_picture(reader: rtc.ByteStreamReader, identity: str) -> None:
        async def read() -> None:
            arrived.put_nowait((b"".join([chunk async for chunk in reader]), reader.info))

        task = asyncio.create_task(read())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    sent: list[bytes] = []
    write = Path.write_bytes

    def keep(path: Path, data: bytes) -> int:
        sent.append(data)
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", keep)
    async with joined(server, "agent") as room, joined(server, "alice") as alice, publishing(alice):
        alice.register_byte_stream_handler("agent-images", on_picture)
        options = VisionOptions(max_wait_s=0.5)
        async with Vision.for_room(room, options=options) as vision:
            async with AgentSession[Any](llm=ListeningLLM()) as session:
                await session.start(VisionAgent(vision=vision))
                await ask_until(session, lambda answer: bool(codes(answer)))
                answer = await ask(session, "Please mark the QR code.")
                data, info = await asyncio.wait_for(arrived.get(), 10)
    assert sent == [data]
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []  # nothing is left on disk
    attributes = info.attributes or {}
    assert info.mime_type == "image/jpeg" and attributes["view"] == "camera of alice"
    picture = decode_jpeg(data)
    assert attributes["size"] == f"{picture.shape[1]}x{picture.shape[0]}"
    (box,) = json.loads(attributes["boxes"])
    left, top, right, bottom = box["xyxy"]
    crop = np.pad(picture[top:bottom, left:right], ((20, 20), (20, 20), (0, 0)), constant_values=255)
    assert [mark.text for mark in read_codes(crop)] == [box["label"]]
    assert codes(answer) == [int(box["label"].removeprefix("VA-"))]


async def test_with_two_views_the_one_that_was_asked_for_is_marked(server: LocalServer) -> None:
    output = KeptOutput()
    screen = rtc.TrackSource.SOURCE_SCREENSHARE
    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        async with publishing(alice), publishing(alice, screen, late_s=5000):
            options = VisionOptions(max_wait_s=0.5)
            async with Vision.for_room(room, options=options) as vision:
                async with AgentSession[Any](llm=ListeningLLM()) as session:
                    await session.start(VisionAgent(vision=vision, output=output))
                    await ask_until(session, lambda answer: len(codes(answer)) == 2)
                    for view, late_s in (("screen", 5000), ("camera", 0)):
                        answer = await ask(session, f"Mark the QR code on my {view}.")
                        (code,) = codes(answer)
                        assert abs(time.time() - late_s - code) < 3
                        image, attributes = output.sent[-1]
                        assert attributes["view"] == f"{view} of alice"
                        (box,) = json.loads(attributes["boxes"])
                        left, top, right, bottom = box["xyxy"]
                        crop = decode_jpeg(image.data)[top:bottom, left:right]
                        crop = np.pad(crop, ((20, 20), (20, 20), (0, 0)), constant_values=255)
                        assert [mark.text for mark in read_codes(crop)] == [f"VA-{code}"]


def _pixels(data_url: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return decode_jpeg(base64.b64decode(data_url.partition(",")[2]))
