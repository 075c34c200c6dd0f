"""The built-in model, with a record of each request."""

from __future__ import annotations

from typing import Any

from livekit.agents import llm

from ..models.offline import OfflineLLM


class ListeningLLM(OfflineLLM):
    """Answers like the built-in model, and keeps its requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[llm.ChatContext] = []
        """All requests since the start, as a provider's client would get them."""

    def chat(self, *, chat_ctx: llm.ChatContext, **kwargs: Any) -> llm.LLMStream:
        """Record the request and answer it."""
        self.requests.append(chat_ctx)
        return super().chat(chat_ctx=chat_ctx, **kwargs)
