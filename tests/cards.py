"""Read the pictures and codes of a request, and of a view."""

from __future__ import annotations

from livekit.agents import llm

from vision_agent import Vision
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.models.reading import read_codes
from vision_agent.testing.cards import CardSource as CardSource
from vision_agent.testing.listening import ListeningLLM as ListeningLLM


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
