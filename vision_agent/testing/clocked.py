"""A model that answers at once, or never, and records when it was asked and which pictures it got.

It needs only livekit-agents and Pillow, because scripts in other environments load it, too.
"""

from __future__ import annotations

import asyncio
import io
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, llm
from livekit.agents.llm.utils import serialize_image
from livekit.agents.types import NotGivenOr
from PIL import Image


@dataclass(kw_only=True)
class Request:
    """One request, as the model's client got it."""

    asked_s: float
    """When ``chat()`` was called, in seconds of ``time.perf_counter()``."""
    pictures: list[bytes] = field(default_factory=list)
    """Compressed pictures of the last user message."""
    packed_ms: float = 0.0
    """How long packing the pictures, as providers' clients do it, blocked the loop, in milliseconds."""
    sent_ms: int = 0
    """When the request was packed, in milliseconds of ``time.monotonic()``."""


class ClockedLLM(llm.LLM[Any]):
    """Answers ``Yes.``; with ``answers=False`` it never answers."""

    def __init__(self, *, answers: bool = True) -> None:
        super().__init__()
        self.answers = answers
        self.requests: list[Request] = []
        """All requests since the start; you may remove the pictures of older ones."""

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
        """Record the request and answer it."""
        request = Request(asked_s=time.perf_counter())
        self.requests.append(request)
        return _ClockedStream(self, request, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _ClockedStream(llm.LLMStream):
    def __init__(self, model: ClockedLLM, request: Request, **kwargs: Any) -> None:
        self._request, self._answers = request, model.answers
        super().__init__(model, **kwargs)

    async def _run(self) -> None:
        begun_s = time.perf_counter()
        users = [m for m in self._chat_ctx.messages() if m.role == "user"]
        for part in users[-1].content if users else []:
            if isinstance(part, llm.ImageContent) and (data := serialize_image(part).data_bytes):
                self._request.pictures.append(data)
        self._request.packed_ms = (time.perf_counter() - begun_s) * 1000
        self._request.sent_ms = time.monotonic_ns() // 1_000_000
        if not self._answers:
            await asyncio.Event().wait()
        delta = llm.ChoiceDelta(role="assistant", content="Yes.")
        self._event_ch.send_nowait(llm.ChatChunk(id="clocked", delta=delta))


def grey(picture: bytes) -> Any:
    """Return the luma of a compressed picture, shape ``(h, w)``, uint8."""
    with Image.open(io.BytesIO(picture)) as opened:
        return np.asarray(opened.convert("L"))
