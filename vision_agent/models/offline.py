"""The built-in model: needs no key, no network, no download, and looks only at the request's pictures."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import uuid
from typing import Any

import cv2
import numpy as np
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, llm
from livekit.agents.types import NotGivenOr

from ..frame import U8
from . import reading

CAN = "I can read QR and bar codes, text, main colours and brightness, and tell whether the view changed."


class OfflineLLM(llm.LLM[Any]):
    """A real, streaming ``llm.LLM`` that answers from the pixels in the request."""

    @property
    def model(self) -> str:
        """The model's name."""
        return "offline"

    @property
    def provider(self) -> str:
        """The provider's name."""
        return "vision_agent"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        """Answer the last user message of ``chat_ctx``."""
        return _OfflineStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _OfflineStream(llm.LLMStream):
    async def _run(self) -> None:
        reply = await asyncio.to_thread(answer, self._chat_ctx)
        reply_id = f"offline-{uuid.uuid4().hex[:12]}"
        for piece in re.findall(r"\S+\s*", reply):
            delta = llm.ChoiceDelta(role="assistant", content=piece)
            self._event_ch.send_nowait(llm.ChatChunk(id=reply_id, delta=delta))


def answer(chat_ctx: llm.ChatContext) -> str:
    """Answer the last user message from its own pictures, in plain sentences."""
    spoken = [m for m in chat_ctx.messages() if m.role in ("user", "assistant")]
    users = [m for m in spoken if m.role == "user"]
    if not users:
        return f"Hello. {CAN}"
    lines = [part for part in users[-1].content if isinstance(part, str)]
    question = " ".join(line for line in lines if not line.startswith("[")).casefold()
    pictures = _pictures(users[-1])
    for message in reversed(spoken[:-1]):  # pictures sent since the last answer belong to the question
        if message.role != "user":
            break
        pictures = _pictures(message) + pictures
    if not pictures:
        notes = [line.strip("[]") for line in lines if line.startswith("[no picture")]
        return f"I can't see anything now: {'; '.join(notes) or 'there is no picture'}."
    if re.search(r"chang|differ|mov(e|ed|ing)\b", question):
        earlier = [picture for message in users[:-1] for picture in _pictures(message)]
        return _change((earlier + pictures)[-2:])
    return " ".join(_describe(question, picture) for picture in pictures)


def _describe(question: str, rgb: U8) -> str:
    said: list[str] = []
    if re.search(r"\b(qr|bar ?codes?|codes?|scan)\b", question):
        codes = [mark.text for mark in reading.read_codes(rgb)]
        said.append(f"The code says {', '.join(codes)}." if codes else "I see no code I can read.")
    if re.search(r"\b(text|word|words|read|written|writing|say|says|sign|label)\b", question) and not said:
        texts = [mark.text for mark in reading.read_text(rgb)]
        said.append(f"The text says: {'; '.join(texts)}." if texts else "I see no text I can read.")
    if re.search(r"colou?rs?\b", question):
        said.append(f"The main colours are {', '.join(reading.main_colours(rgb))}.")
    if re.search(r"\b(bright|brightness|dark|light)\b", question):
        level = reading.brightness(rgb)
        word = "dark" if level < 0.25 else "bright" if level > 0.6 else "of medium brightness"
        said.append(f"The picture is {word} ({level:.0%}).")
    if not said and re.search(r"\b(see|view|picture|camera|describe|show|look)\b", question):
        codes = [mark.text for mark in reading.read_codes(rgb)]
        said.append(f"I see a picture of mainly {', '.join(reading.main_colours(rgb))}.")
        said += [f"There is a code that says {', '.join(codes)}."] if codes else []
    return " ".join(said) or f"I can't tell that. {CAN}"


def _change(pictures: list[U8]) -> str:
    if len(pictures) < 2:
        return "I have only one picture so far, so I can't tell what changed. Ask again in a moment."
    share = reading.changed_share(pictures[0], pictures[1])
    if share < 0.002:
        return "Nothing changed that I can see."
    return f"Yes, about {max(share, 0.01):.0%} of the view changed since the picture before."


def _pictures(message: llm.ChatMessage) -> list[U8]:
    decoded = []
    for part in message.content:
        if not isinstance(part, llm.ImageContent) or not isinstance(part.image, str):
            continue
        try:
            packet = base64.b64decode(part.image.partition(";base64,")[2], validate=True)
        except binascii.Error:
            continue
        bgr = cv2.imdecode(np.frombuffer(packet, np.uint8), cv2.IMREAD_COLOR) if packet else None
        if bgr is not None:
            decoded.append(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8))
    return decoded
