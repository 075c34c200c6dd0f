"""An interrupted answer of the built-in model costs nothing more."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from livekit.agents import llm

from vision_agent.imaging.frame import U8
from vision_agent.imaging.jpeg import encode_rgb
from vision_agent.models import reading
from vision_agent.models.offline import OfflineLLM
from vision_agent.models.reading import Mark

from .seeing import sighting
from .test_offline import Talk, with_text
from .waiting import until


class Gate:
    """Counts the pictures whose text is read, and lets each through when a test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.open = threading.Event()

    def __call__(self, rgb: U8) -> list[Mark]:
        self.begun += 1
        self.open.wait(10)
        return []


@pytest.fixture
def request_of_two_pictures() -> llm.ChatContext:
    picture = encode_rgb(with_text("RIVER GATE"), max_side_px=320)
    talk = Talk()
    talk.show(sighting("a", image=picture), sighting("b", image=picture))
    return super(Talk, talk).ask("Read the text.")


async def test_interrupted_answers_read_no_further_picture(
    request_of_two_pictures: llm.ChatContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(reading, "read_text", gate)
    async with OfflineLLM() as model:
        streams = [model.chat(chat_ctx=request_of_two_pictures) for _ in range(50)]
        await until(lambda: gate.begun == 1)
        await asyncio.gather(*(stream.aclose() for stream in streams))
        gate.open.set()
        last: Any = model.chat(chat_ctx=request_of_two_pictures)
        said = [chunk.delta.content async for chunk in last if chunk.delta]
        assert "I see no text I can read" in "".join(said)
        assert gate.begun == 1 + 2  # of the first one its first picture, of the last one both
