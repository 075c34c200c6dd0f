"""The annotate tool, from the question to a picture at a second client."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, AgentSession, RunContext, ToolError, llm

from vision_agent import EncodedImage, Vision, VisionAgent, VisionOptions
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.imaging.jpeg import encode_rgb
from vision_agent.models.reading import read_codes
from vision_agent.output import RoomOutput
from vision_agent.record.sighting import Purpose, Sighting
from vision_agent.testing.server import LocalServer
from vision_agent.tools import MarkedBox, Seen, annotate_tool

from .cards import CardSource, ListeningLLM, images_in
from .rooms import ask, ask_until, codes, joined, publishing
from .seeing import nothing, sighting


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


def _shown(view: str, level: int = 128, purpose: Purpose = "turn") -> Sighting:
    image = encode_rgb(np.full((90, 160, 3), level, np.uint8), max_side_px=160)
    return sighting(view, image=image, purpose=purpose)


class Called:
    """The tool ``annotate``, after a request that showed these sightings."""

    def __init__(self, *current: Sighting, earlier: Sequence[Sighting] = (), turn: int = 2) -> None:
        self.output = KeptOutput()
        seen = Seen(current=current, earlier=earlier, turn=turn, asked_by="ann")

        async def what_was_seen(context: RunContext[Any]) -> Seen:
            return seen

        self._tool = cast("Callable[..., Awaitable[str]]", annotate_tool(what_was_seen, self.output))

    async def __call__(self, *boxes: tuple[int, int, int, int], **chosen: Any) -> str:
        corners = boxes or ((100, 100, 900, 900),)
        marked = [
            MarkedBox(label="cup", left=left, top=top, right=right, bottom=bottom)
            for left, top, right, bottom in corners
        ]
        return await self._tool(context=None, boxes=marked, **chosen)

    @property
    def marked(self) -> list[str]:
        return [attributes["view"] for _, attributes in self.output.sent]


async def test_of_several_views_the_model_must_say_which() -> None:
    call = Called(_shown("camera of ann"), _shown("screen of ann"))
    with pytest.raises(ToolError, match=r"which view the boxes are on: 'camera of ann', 'screen of ann'$"):
        await call()
    with pytest.raises(ToolError, match=r"no picture of \"window\": 'camera of ann', 'screen of ann'$"):
        await call(view="window")
    assert "screen of ann" in await call(view=" Screen of Ann")
    assert "camera of ann" in await call(picture=1)
    with pytest.raises(ToolError, match="there is no picture 3 to mark"):
        await call(picture=3)
    assert call.marked == ["screen of ann", "camera of ann"]
    assert call.output.sent[0][1]["asked_by"] == "ann" and call.output.sent[0][1]["turn"] == "2"


async def test_what_a_view_showed_for_an_earlier_question_is_not_marked_as_if_it_were_now() -> None:
    call = Called(nothing("desk"), earlier=[_shown("desk")])
    with pytest.raises(ToolError, match="no picture to mark"):
        await call()
    with pytest.raises(ToolError, match='there is no picture of "desk" now: it is muted'):
        await call(view="desk")
    with pytest.raises(ToolError, match='the picture of "door" is of an earlier question: look again'):
        await Called(_shown("desk"), earlier=[_shown("door")])(view="door")
    assert call.output.sent == []


async def test_what_was_sent_or_given_earlier_can_be_marked_by_its_name() -> None:
    earlier = [_shown("a leaf", purpose="upload"), _shown("plan.png", purpose="initial")]
    call = Called(_shown("desk"), earlier=earlier)
    await call()
    await call(view="a leaf")
    await call(view="plan.png")
    assert call.marked == ["desk", "a leaf", "plan.png"]


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((500, 100, 400, 900), 'box "cup": left < right must hold, but left = 500 and right = 400'),
        ((100, 900, 400, 900), 'box "cup": top < bottom must hold, but top = 900 and bottom = 900'),
        ((-1, 100, 400, 900), 'box "cup": left = -1, must be from 0 to 1000'),
        ((0, 0, 400, 1001), 'box "cup": bottom = 1001, must be from 0 to 1000'),
        ((100, 100, 101, 900), 'box "cup" is less than 2 pixels wide or high: make it larger'),
    ],
)
async def test_a_box_that_can_not_be_drawn_is_explained(box: tuple[int, int, int, int], said: str) -> None:
    call = Called(_shown("desk"))
    with pytest.raises(ToolError, match=f"^{re.escape(said)}$"):
        await call(box)
    assert call.output.sent == []


async def test_without_boxes_no_picture_is_sent() -> None:
    output = KeptOutput()

    async def what_was_seen(context: RunContext[Any]) -> Seen:
        return Seen(current=[_shown("desk")])

    tool = cast("Callable[..., Awaitable[str]]", annotate_tool(what_was_seen, output))
    with pytest.raises(ToolError, match="there is no box: give at least one"):
        await tool(context=None, boxes=[])
    assert output.sent == []


async def test_a_picture_the_ledger_let_go_can_not_be_marked() -> None:
    gone = replace(_shown("desk"), image=None)
    with pytest.raises(ToolError, match='the picture of "desk" is not held here'):
        await Called(gone)()


async def test_the_mark_is_of_the_calls_own_request_even_if_another_one_is_made_since() -> None:
    """A request that comes while the tool runs must not change what is drawn on."""
    source, output = CardSource(), GatedOutput()
    async with Vision(source=source) as vision, AgentSession[Any](llm=ListeningLLM()) as session:
        agent = VisionAgent(vision=vision, output=output)
        await session.start(agent)
        asked = asyncio.create_task(ask(session, "Please mark the QR code."))
        await output.reached.wait()
        source.moment_s += 60
        other = llm.ChatContext.empty()
        other.add_message(role="user", content="What is that?")
        await agent._binder.request(other, said=[])
        output.may_send.set()
        await asked
        first, second = vision.ledger.requests[0], vision.ledger.requests[1]
        assert first.current != second.current
    ((_, attributes),) = output.sent
    (box,) = json.loads(attributes["boxes"])
    assert box["label"] == "VA-1700000000" and attributes["turn"] == "1"


class GatedOutput(KeptOutput):
    """Sends when a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.may_send = asyncio.Event(), asyncio.Event()

    async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
        self.reached.set()
        await self.may_send.wait()
        await super().send(image, name=name, attributes=attributes)


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

    class Noting(RoomOutput):
        """Notes what it hands to the room."""

        async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
            sent.append(image.data)
            await super().send(image, name=name, attributes=attributes)

    async with joined(server, "agent") as room, joined(server, "alice") as alice, publishing(alice):
        alice.register_byte_stream_handler("agent-images", on_picture)
        options = VisionOptions(max_wait_s=0.5)
        async with Vision.for_room(room, options=options) as vision:
            async with AgentSession[Any](llm=ListeningLLM()) as session:
                await session.start(VisionAgent(vision=vision, output=Noting(room)))
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
