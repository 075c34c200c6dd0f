"""A camera of ten lines that shows the testcard, and a model that keeps what it was sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from livekit.agents import llm

from vision_agent import Frame, Vision
from vision_agent.frame import decode_jpeg
from vision_agent.models.offline import OfflineLLM
from vision_agent.models.reading import read_codes
from vision_agent.sources.testcard import render


class CardSource:
    """The testcard of a chosen moment, with a switch that makes it go away."""

    def __init__(self) -> None:
        self.name = "desk"
        self.problem: str | None = None
        self.moment_s = 1_700_000_000.0

    async def frames(self) -> AsyncIterator[Frame]:
        while True:
            yield Frame.from_rgb(
                render(self.moment_s, (640, 360)), captured_s=time.monotonic(), source="desk"
            )
            await asyncio.sleep(0.02)

    async def aclose(self) -> None:
        pass


class ListeningLLM(OfflineLLM):
    """The built-in model, keeping the requests it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[llm.ChatContext] = []

    def chat(self, *, chat_ctx: llm.ChatContext, **kwargs: Any) -> llm.LLMStream:
        self.requests.append(chat_ctx)
        return super().chat(chat_ctx=chat_ctx, **kwargs)


def images_in(chat_ctx: llm.ChatContext) -> list[str]:
    return [
        part.image
        for message in chat_ctx.messages()
        for part in message.content
        if isinstance(part, llm.ImageContent) and isinstance(part.image, str)
    ]


async def frame_code(vision: Vision) -> str:
    (view,) = await vision.look()
    assert view.image is not None
    return read_codes(decode_jpeg(view.image.data))[0].text
