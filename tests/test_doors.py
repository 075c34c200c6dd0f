"""No output goes around the lens: what a mask covers is visible at none of them."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, AgentSession, llm

import vision_agent
from vision_agent import EncodedImage, Frame, Vision, VisionAgent, VisionOptions
from vision_agent.imaging.frame import U8, decode_jpeg
from vision_agent.models.reading import read_text
from vision_agent.realtime import RealtimeFeed
from vision_agent.record.sighting import Sighting
from vision_agent.testing.server import LocalServer
from vision_agent.views.filters import Filters, MaskRegion

from .cards import CardSource, ListeningLLM, images_in
from .clips import write_clip
from .filtering import QR_REGION, publishing_with, spectating, texts_in
from .publishing import LIVE
from .rooms import ask, joined, publishing
from .waiting import until

ROOT = Path(vision_agent.__file__).parent


MAKERS = {
    "encode_jpeg": {
        "imaging/jpeg.py": "here it is made",
        "views/lens.py": "the way out",
        "realtime/view.py": "the JPEG of a frame that came out of the lens, with its view's name on it",
        "doctor.py": "the testcard, to try a model",
        "__init__.py": "public, for frames of the caller's own",
    },
    "encode_rgb": {
        "imaging/jpeg.py": "here it is made",
        "imaging/files.py": "files that people send or give",
        "tools.py": "a drawing on a picture that the model has seen",
    },
    "fit_frame": {"imaging/jpeg.py": "here it is made", "views/lens.py": "the way out"},
    "simplejpeg's encoders": {
        "imaging/jpeg.py": "the encoder",
        "sources/jpeg_packet.py": "the standard's tables, of a black square",
    },
    "imencode": {},
    "imwrite": {},
    "save": {},
    "EncodeOptions": {},
    "livekit's images": {},
    "EncodedImage": {
        "imaging/jpeg.py": "here it is made",
        "decoding/messages.py": "files that people send, decoded by the child process",
        "turns/messages.py": "the picture that a message holds",
    },
    "ImageContent": {
        "turns/messages.py": "pictures of sightings",
        "doctor.py": "a testcard of its own, for the built-in model",
    },
    "VideoFrame": {
        "realtime/outlet.py": "small frames that came out of the lens",
        "publish/tracks.py": "frames that came out of the lens",
        "publish/planes.py": "FFmpeg's, to convert frames that came out of the lens",
    },
    "from_ndarray": {
        "publish/bridge.py": "between pictures that pass through, which none does with a filter"
    },
    "EncodedVideoFrame": {"publish/tracks.py": "what passes through, which nothing does with a filter"},
    "capture_frame": {"publish/tracks.py": "as above"},
    "push_video": {"realtime/feed.py": "what the outlet pushes"},
}
"""What makes or sends a picture, and the modules that may use it, each with its reason."""
CALLED = {"save", "EncodedImage", "ImageContent", "VideoFrame", "EncodedVideoFrame", "EncodeOptions"}
"""Counted where it is called; a type is named in many places. The others count wherever they are named."""
APART = {
    "bench": "it measures pictures of its own",
    "testing": "it stands for cameras and people in tests",
}


def makers_in(source: str) -> Iterator[str]:
    """Yield each thing a module uses to make or send a picture."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = name_of(node.func)
            if name in CALLED:
                yield name
        elif isinstance(node, ast.ImportFrom):
            if "livekit.agents.utils" in (node.module or "") and "images" in ast.unparse(node):
                yield "livekit's images"
            if node.module == "simplejpeg":
                yield "simplejpeg's encoders"
            yield from (alias.name for alias in node.names if alias.name in MAKERS.keys() - CALLED)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "simplejpeg":
            if not node.attr.startswith("decode"):
                yield "simplejpeg's encoders"
        elif isinstance(node, ast.Attribute) and ast.unparse(node).endswith("utils.images"):
            yield "livekit's images"
        elif isinstance(node, ast.Attribute | ast.Name | ast.FunctionDef):
            name = name_of(node)
            if name in MAKERS.keys() - CALLED:
                yield name


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    return node.name if isinstance(node, ast.FunctionDef) else ""


def test_what_makes_or_sends_a_picture_is_used_only_where_a_reason_stands() -> None:
    used: dict[str, set[str]] = {name: set() for name in MAKERS}
    for path in ROOT.rglob("*.py"):
        module = path.relative_to(ROOT)
        if module.parts[0] not in APART:
            for name in makers_in(path.read_text(encoding="utf-8")):
                used[name].add(module.as_posix())
    used["encode_jpeg"].add("__init__.py")  # by its name in a table
    for name, modules in used.items():
        assert modules == set(MAKERS[name]), f"{name}: every picture must come out of views/lens.py"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from .imaging.jpeg import encode_jpeg", "encode_jpeg"),
        ("from . import imaging\nimaging.jpeg.encode_rgb(rgb)", "encode_rgb"),
        ("later(jpeg.fit_frame, frame)", "fit_frame"),
        ("import simplejpeg\nsimplejpeg.encode_jpeg(rgb)", "simplejpeg's encoders"),
        ("from simplejpeg import encode_jpeg_yuv_planes as e", "simplejpeg's encoders"),
        ("import cv2\ncv2.imencode('.jpg', bgr)", "imencode"),
        ("from cv2 import imwrite", "imwrite"),
        ("Image.fromarray(rgb).save(file)", "save"),
        ("from livekit.agents.utils.images import encode", "livekit's images"),
        ("from livekit.agents.utils import images", "livekit's images"),
        ("from livekit.agents import utils\nutils.images.encode(frame)", "livekit's images"),
        ("f(EncodeOptions())", "EncodeOptions"),
        ("rtc.VideoFrame(1, 1, 5, data)", "VideoFrame"),
        ("from livekit.rtc import VideoFrame\nVideoFrame(1, 1, 5, data)", "VideoFrame"),
        ("rtc.encoded_video.EncodedVideoFrame(data=data)", "EncodedVideoFrame"),
        ("av.VideoFrame.from_ndarray(rgb)", "from_ndarray"),
        ("session.push_video(frame)", "push_video"),
        ("source.capture_frame(frame)", "capture_frame"),
        ("llm.ImageContent(image=frame)", "ImageContent"),
    ],
)
def test_a_way_around_would_be_found(source: str, name: str) -> None:
    assert name in set(makers_in(source))


def test_a_type_is_no_picture() -> None:
    source = "def f(frame: rtc.VideoFrame) -> EncodedImage: return simplejpeg.decode_jpeg(data)"
    assert not set(makers_in(source))


HIDDEN = {"VA-1700000000"}
FILTERS: Filters = {"desk": [MaskRegion(QR_REGION)]}
filtered = pytest.mark.parametrize("covered", [False, True], ids=["open", "covered"])


def card_vision(covered: bool, **options: Any) -> Vision:
    return Vision(source=CardSource(), options=VisionOptions(**options), filters=FILTERS if covered else None)


async def check(picture: U8, covered: bool) -> None:
    """The code is visible only if nothing covers it; the text next to it is always visible."""
    assert await asyncio.to_thread(texts_in, picture) == (set() if covered else HIDDEN)
    words = [mark.text for mark in await asyncio.to_thread(read_text, picture)]
    assert any("TODAY" in word.upper() for word in words), words


def pixels(image: EncodedImage | None) -> U8:
    assert image is not None
    return decode_jpeg(image.data)


def pixels_of_url(url: str) -> U8:
    return decode_jpeg(base64.b64decode(url.partition("base64,")[2]))


@filtered
async def test_a_look(covered: bool) -> None:
    async with card_vision(covered) as vision:
        (view,) = await vision.look()
        assert view.chosen in ("newest", "awaited")
        await check(pixels(view.image), covered)


@filtered
async def test_a_picture_made_ahead_of_time(covered: bool) -> None:
    async with card_vision(covered) as vision:
        vision.hold()
        chosen = ""
        while chosen != "prepared":
            (view,) = await vision.look()
            chosen = view.chosen
            await vision.eyes[0].watcher.arrival(within_s=1)
        await check(pixels(view.image), covered)
        vision.release()


@filtered
async def test_a_part_of_the_picture(covered: bool) -> None:
    async with card_vision(covered) as vision:
        (view,) = await vision.look(crop=(0.0, 0.05, 1.0, 0.95))
        await check(pixels(view.image), covered)
        (view,) = await vision.look(crop=(0.0, 0.12, 0.424, 0.88))  # nothing but the code
        part = pixels(view.image)
        assert await asyncio.to_thread(texts_in, part) == (set() if covered else HIDDEN)
        assert not covered or part.max() - part.min() <= 8


@filtered
async def test_the_request_of_a_typed_question(covered: bool) -> None:
    model = ListeningLLM()
    async with card_vision(covered) as vision, AgentSession[Any](llm=model) as session:
        await session.start(VisionAgent(vision=vision))
        answer = await ask(session)
        assert ("VA-1700000000" in answer) is not covered
        (url,) = images_in(model.requests[-1])
        await check(pixels_of_url(url), covered)


class MarkingLLM(ListeningLLM):
    """Marks something beside the code at its first request."""

    def chat(self, *, chat_ctx: llm.ChatContext, **kwargs: Any) -> llm.LLMStream:
        if self.requests:
            return super().chat(chat_ctx=chat_ctx, **kwargs)
        self.requests.append(chat_ctx)
        return _OneBox(self, chat_ctx=chat_ctx, tools=[], conn_options=DEFAULT_API_CONNECT_OPTIONS)


class _OneBox(llm.LLMStream):
    async def _run(self) -> None:
        box = {"label": "", "left": 430, "top": 700, "right": 990, "bottom": 950}
        call = llm.FunctionToolCall(name="annotate", arguments=json.dumps({"boxes": [box]}), call_id="c1")
        delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))


class KeptOutput:
    """Keeps the pictures it is given."""

    def __init__(self) -> None:
        self.sent: list[EncodedImage] = []

    async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
        self.sent.append(image)


@filtered
async def test_a_marked_picture(covered: bool) -> None:
    output = KeptOutput()
    async with card_vision(covered) as vision, AgentSession[Any](llm=MarkingLLM()) as session:
        await session.start(VisionAgent(vision=vision, output=output))
        await ask(session, "Mark what is below the text")
    (image,) = output.sent
    await check(pixels(image), covered)


@filtered
@pytest.mark.parametrize("caption", ["", "desk", "a close-up"])
async def test_a_frame_of_the_view_that_a_tool_shows(covered: bool, caption: str) -> None:
    model = ListeningLLM()
    async with card_vision(covered) as vision, AgentSession[Any](llm=model) as session:
        agent = VisionAgent(vision=vision)
        await session.start(agent)
        await until(lambda: vision.eyes[0].watcher.latest is not None)
        frame = vision.eyes[0].watcher.latest
        assert frame is not None
        await agent.add_picture(frame, caption=caption)
        await ask(session)
        urls = images_in(model.requests[-1])
        assert len(urls) == 2
        for url in urls:
            await check(pixels_of_url(url), covered)


class KeptItems:
    """A conversation that keeps the pictures it is shown."""

    def __init__(self) -> None:
        self.shown: list[Sighting] = []

    def show(self, sighting: Sighting) -> None:
        self.shown.append(sighting)

    def withdraw(self, view: str) -> None:
        """Keep it."""

    def is_busy(self, view: str) -> bool:
        return False

    def close(self) -> None:
        """Keep them."""


Policy = Literal["stream", "items_while_speaking"]


@asynccontextmanager
async def realtime_pictures(
    vision: Vision, policy: Policy, *, named: bool
) -> AsyncIterator[tuple[RealtimeFeed, list[U8]]]:
    """Yield a running feed and the pictures it hands over, after a typed and a spoken question."""
    pictures = list[U8]()
    items = KeptItems()

    def push(frame: rtc.VideoFrame) -> None:
        pictures.append(Frame.from_video_frame(frame, captured_s=0.0).to_rgb())

    async def tell(line: str) -> None:
        """Nobody reads it."""

    feed = RealtimeFeed(
        vision, push=push, tell=tell, policy=policy, items=items if policy != "stream" else None
    )
    feed.start()
    try:
        await until(lambda: vision.eyes[0].watcher.latest is not None)
        feed.speech(True)
        if named:
            for each in feed._feeds.values():
                each.is_named = True
        await until(lambda: bool(pictures or items.shown))
        feed.speech(False)
        feed.typed()
        await until(lambda: len(pictures) + len(items.shown) >= 2)
        pictures.extend(pixels(sighting.image) for sighting in items.shown)
        yield feed, pictures
    finally:
        await feed.aclose()


@filtered
@pytest.mark.parametrize("named", [False, True], ids=["bare", "named"])
@pytest.mark.parametrize("policy", ["stream", "items_while_speaking"])
async def test_what_a_realtime_model_sees(covered: bool, policy: Policy, named: bool) -> None:
    async with card_vision(covered, speaking_fps=20, silent_fps=20) as vision:
        async with realtime_pictures(vision, policy, named=named) as (feed, pictures):
            (seen,) = await feed.sightings()  # what it would mark
            for picture in (pictures[0], pictures[-1], pixels(seen.image)):
                await check(picture, covered)


@filtered
async def test_a_camera_in_a_room(server: LocalServer, covered: bool) -> None:
    """A filter for one view's name leaves another camera as it is."""
    filters: Filters | None = {"camera of alice": [MaskRegion(QR_REGION)]} if covered else None
    read: dict[str, set[str]] = {"camera of alice": set(), "camera of bob": set()}
    async with (
        joined(server, "agent") as room,
        joined(server, "alice") as alice,
        joined(server, "bob") as bob,
    ):
        async with (
            Vision.for_room(room, filters=filters) as vision,
            publishing(alice, size_wh=(640, 360), simulcast=False),
            publishing(bob, size_wh=(640, 360), simulcast=False),
        ):
            await until(lambda: len(vision.eyes) == 2)
            words = ""
            while not read["camera of bob"] or "TODAY" not in words:
                for view in await vision.look():
                    if view.image is not None:
                        picture = pixels(view.image)
                        read[view.view] |= await asyncio.to_thread(texts_in, picture)
                        if view.view == "camera of alice":
                            marks = await asyncio.to_thread(read_text, picture)
                            words = " ".join(mark.text for mark in marks)
    assert bool(read["camera of alice"]) is not covered


@filtered
@pytest.mark.parametrize("encode", [False, True], ids=["h264", "encode"])
async def test_a_published_file(server: LocalServer, tmp_path: Path, covered: bool, encode: bool) -> None:
    clip = write_clip(tmp_path / "clip.mp4", size_wh=(640, 360), options={**LIVE, "g": "15"})
    filters = FILTERS["desk"] if covered else []
    async with (
        spectating(server) as spectator,
        publishing_with(filters, clip, server, encode=encode) as publisher,
    ):
        await until(lambda: spectator.count >= 30)
        assert publisher.state.route == ("encoded" if covered or encode else "passthrough")
        assert spectator.latest is not None
        words = await asyncio.to_thread(read_text, spectator.latest.to_rgb())
        assert any("TODAY" in mark.text for mark in words)
    assert bool(spectator.texts) is not covered
