"""The built-in model: needs no key, no network, no download, and looks only at the request's pictures."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
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
CODE = re.compile(r"\b(qr|bar ?codes?|codes?|scan)\b")
TEXT = re.compile(r"\b(text|words?|read|written|writing|say|says|sign|label)\b")
MARK = re.compile(r"\b(show me|mark|point (at|to|out)|where|highlight|outline|circle|annotate|draw)\b")
CHANGE = re.compile(r"chang|differ|mov(e|ed|ing)\b")
START = re.compile(r"\b(start|beginning|given|first|initial|reference)\b")
VIEW = re.compile(r"\[(.+), seen \d+ ms before this question\]")
"""The line beside the picture of a view."""
GIVEN = "[a picture given at the start"
"""How the line beside a picture of the initial context begins."""


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
        """Answer the last user message of ``chat_ctx``, or call ``annotate`` to show something."""
        return _OfflineStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _OfflineStream(llm.LLMStream):
    async def _run(self) -> None:
        can_mark = any(isinstance(t, llm.FunctionTool) and t.info.name == "annotate" for t in self._tools)
        reply = await asyncio.to_thread(answer, self._chat_ctx, can_mark=can_mark)
        reply_id = f"offline-{uuid.uuid4().hex[:12]}"
        if isinstance(reply, llm.FunctionToolCall):
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[reply])
            self._event_ch.send_nowait(llm.ChatChunk(id=reply_id, delta=delta))
            return
        for piece in re.findall(r"\S+\s*", reply):
            delta = llm.ChoiceDelta(role="assistant", content=piece)
            self._event_ch.send_nowait(llm.ChatChunk(id=reply_id, delta=delta))


def answer(chat_ctx: llm.ChatContext, *, can_mark: bool = False) -> str | llm.FunctionToolCall:
    """Answer the last user message from its own pictures, or call ``annotate`` to show something."""
    done = _marked(chat_ctx)
    if done is not None:
        return done
    spoken = [m for m in chat_ctx.messages() if m.role in ("user", "assistant")]
    users = [m for m in spoken if m.role == "user"]
    if not users:
        return f"Hello. {CAN}"
    lines = [part for part in users[-1].content if isinstance(part, str)]
    question = " ".join(line for line in lines if not line.startswith("[")).casefold()
    asked = [users[-1]]
    given = [m for m in users[:-1] if any(str(part).startswith(GIVEN) for part in m.content)]
    if given and START.search(question):
        asked = given
    else:
        for message in reversed(
            spoken[: spoken.index(users[-1])]
        ):  # pictures sent since the last answer belong to the question
            if message.role != "user":
                break
            asked.insert(0, message)
    named = [pair for message in asked for pair in _named_pictures(message)]
    pictures = [picture for _, picture in named]
    closed = sum(_is_address(part) for message in asked for part in message.content)
    said = [f"I can't open addresses, so I don't see {closed} of the pictures given."] if closed else []
    if not pictures:
        notes = [line.strip("[]") for line in lines if line.startswith("[no picture")]
        return " ".join([f"I can't see anything now: {'; '.join(notes) or 'there is no picture'}.", *said])
    if CHANGE.search(question):
        earlier = [picture for m in users[:-1] if m not in asked for picture in _pictures(m)]
        return _change((earlier + pictures)[-2:])
    if can_mark and asked is not given and MARK.search(question):
        return _mark(question, (_pictures(users[-1]) or pictures)[-1])
    if len(named) == 1:
        return " ".join([_describe(question, pictures[0]), *said])
    return " ".join([*(f"{name}: {_describe(question, picture)}" for name, picture in named), *said])


def _is_address(part: llm.ChatContent) -> bool:
    return isinstance(part, llm.ImageContent) and str(part.image).startswith(("http://", "https://"))


def _marked(chat_ctx: llm.ChatContext) -> str | None:
    """Tell how a call of ``annotate`` went, if its result is what the request is about."""
    last = chat_ctx.items[-1] if chat_ctx.items else None
    if not isinstance(last, llm.FunctionCallOutput) or last.name != "annotate":
        return None
    if last.is_error:
        return f"I could not mark it: {last.output}."
    call = next(i for i in chat_ctx.items if isinstance(i, llm.FunctionCall) and i.call_id == last.call_id)
    labels = [box["label"] for box in json.loads(call.arguments)["boxes"]]
    return f"I marked {', '.join(labels)} on the picture and sent it to you."


def _mark(question: str, rgb: U8) -> str | llm.FunctionToolCall:
    marks = reading.read_codes(rgb) if CODE.search(question) or not TEXT.search(question) else []
    if not marks and not CODE.search(question):
        texts = reading.read_text(rgb)
        asked = set(re.findall(r"\w{3,}", question))
        named = [mark for mark in texts if asked & set(re.findall(r"\w{3,}", mark.text.casefold()))]
        marks = named or texts
    if not marks:
        return "I see no code and no text I can read, so there is nothing I can mark."
    height, width = rgb.shape[:2]
    boxes = []
    for mark in marks:
        left, top, right, bottom = mark.box_xyxy
        corners = (left / width, top / height, right / width, bottom / height)
        shares = [min(1000, max(0, round(1000 * share))) for share in corners]
        boxes.append(
            {"label": mark.text, **dict(zip(("left", "top", "right", "bottom"), shares, strict=True))}
        )
    return llm.FunctionToolCall(
        name="annotate", arguments=json.dumps({"boxes": boxes}), call_id=f"call-{uuid.uuid4().hex[:12]}"
    )


def _describe(question: str, rgb: U8) -> str:
    said: list[str] = []
    if CODE.search(question):
        codes = [mark.text for mark in reading.read_codes(rgb)]
        said.append(f"The code says {', '.join(codes)}." if codes else "I see no code I can read.")
    if TEXT.search(question) and not said:
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
    return [picture for _, picture in _named_pictures(message)]


def _named_pictures(message: llm.ChatMessage) -> list[tuple[str, U8]]:
    """Decode a message's pictures; each is named by the line before it."""
    decoded, line = [], ""
    for part in message.content:
        if isinstance(part, str):
            line = part
        if not isinstance(part, llm.ImageContent) or not isinstance(part.image, str):
            continue
        try:
            packet = base64.b64decode(part.image.partition(";base64,")[2], validate=True)
        except binascii.Error:
            continue
        bgr = cv2.imdecode(np.frombuffer(packet, np.uint8), cv2.IMREAD_COLOR) if packet else None
        if bgr is not None:
            decoded.append((_name(line), np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)))
    return decoded


def _name(line: str) -> str:
    """Say which picture it is, from the line before it."""
    if line.startswith(GIVEN):
        return "The picture given at the start"
    view = VIEW.fullmatch(line)
    return f"{view[1][0].upper()}{view[1][1:]}" if view else "The picture you sent"
