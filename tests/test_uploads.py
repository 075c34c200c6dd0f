from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import AgentSession
from PIL import Image

from vision_agent import ImageError, Vision, VisionAgent
from vision_agent.demo.server import LocalServer
from vision_agent.frame import decode_jpeg
from vision_agent.picture import read_picture
from vision_agent.sources.testcard import render

from .test_agent import ListeningLLM, images_in
from .test_room import ask, codes, joined

CARD = Image.fromarray(render(1_700_000_000.0, (640, 360)))
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")


def file_of(format: str, picture: Image.Image = CARD, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=format, **options)
    return out.getvalue()


def bomb() -> bytes:
    """A PNG that declares 30,000 x 30,000 pixels in a few bytes."""
    png = bytearray(file_of("PNG", Image.new("L", (1, 1))))
    png[16:24] = (30_000).to_bytes(4, "big") * 2
    import zlib

    png[29:33] = zlib.crc32(bytes(png[12:29])).to_bytes(4, "big")
    return bytes(png)


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_becomes_a_jpeg_that_fits(format: str) -> None:
    image = read_picture(file_of(format), max_side_px=320)
    assert (image.mime_type, image.width, image.height) == ("image/jpeg", 320, 180)
    assert decode_jpeg(image.data).shape == (180, 320, 3)


def test_exif_is_turned_upright() -> None:
    sideways = CARD.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise to see it upright
    image = read_picture(file_of("JPEG", sideways, exif=exif))
    assert (image.width, image.height) == (640, 360)
    assert np.abs(decode_jpeg(image.data).astype(int) - np.asarray(CARD)).mean() < 6


def test_transparency_is_put_on_white() -> None:
    image = read_picture(file_of("PNG", Image.new("RGBA", (32, 32), (255, 0, 0, 0))))
    assert decode_jpeg(image.data).min() >= 250


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"hello, I am text", "not a picture"),
        (b"", "not a picture"),
        (file_of("JPEG")[:3000], "broken"),
        (file_of("PNG")[:3000], "broken"),
        (bomb(), "pixels"),
        (file_of("BMP"), "not a picture"),
    ],
    ids=["text", "empty", "cut-jpeg", "cut-png", "bomb", "bmp"],
)
def test_bad_files_are_named(data: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        read_picture(data)


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with LocalServer() as running:
        yield running


async def test_uploads_reach_the_model_and_bad_ones_are_answered(server: LocalServer) -> None:
    model, results = ListeningLLM(), asyncio.Queue[dict[str, Any]]()
    reading: set[asyncio.Task[None]] = set()

    def on_result(reader: rtc.TextStreamReader, identity: str) -> None:
        async def read() -> None:
            results.put_nowait(json.loads(await reader.read_all()))

        task = asyncio.create_task(read())
        reading.add(task)
        task.add_done_callback(reading.discard)

    async def send(data: bytes, name: str, mime_type: str, caption: str = "") -> dict[str, Any]:
        await alice.local_participant.send_bytes(
            data, name=name, mime_type=mime_type, topic="images", attributes={"caption": caption}
        )
        return await asyncio.wait_for(results.get(), 10)

    async with joined(server, "agent") as room, joined(server, "alice") as alice:
        alice.register_text_stream_handler("images.result", on_result)
        async with Vision.for_room(room) as vision, AgentSession[Any](llm=model) as session:
            await session.start(VisionAgent(vision=vision))
            for format in FORMATS:
                result = await send(file_of(format), f"card.{format}", "text/plain", f"a {format}")
                assert result["accepted"], result
                assert codes(await ask(session)) == [1_700_000_000]
                assert images_in(model.requests[-1])[-1].startswith("data:image/jpeg;base64,")
                lines = [p for m in model.requests[-1].messages() for p in m.content if isinstance(p, str)]
                assert f"[a picture the user sent: a {format}]" in lines
            for data, said in (
                (b"text", "not a picture"),
                (file_of("JPEG")[:3000], "broken"),
                (bomb(), "pixels"),
            ):
                result = await send(data, "fine.png", "image/png")
                assert not result["accepted"] and said in result["reason"]
            result = await send(bytes(50_000_000), "large.png", "image/png")
            assert not result["accepted"] and "10000000" in result["reason"]
            burst = [
                alice.local_participant.send_bytes(
                    file_of("PNG"), name=str(n), mime_type="image/png", topic="images"
                )
                for n in range(20)
            ]
            await asyncio.gather(*burst)
            answers = [await asyncio.wait_for(results.get(), 20) for _ in range(20)]
            assert {answer["name"] for answer in answers} == {str(n) for n in range(20)}
            writer = await alice.local_participant.stream_bytes(
                "half.png", topic="images", total_size=100_000
            )
            await writer.write(bytes(20_000))
            await alice.disconnect()
            assert set(codes(await ask(session))) == {1_700_000_000}
