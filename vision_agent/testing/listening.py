"""The built-in model, noting each request."""

from __future__ import annotations

from typing import Any

from livekit.agents import llm

from ..models.offline import OfflineLLM


class ListeningLLM(OfflineLLM):
    """Answers as the built-in model does, and keeps the requests it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[llm.ChatContext] = []
        """Since the start, as the provider's client would get them."""

    def chat(self, *, chat_ctx: llm.ChatContext, **kwargs: Any) -> llm.LLMStream:
        """Note the request and answer it."""
        self.requests.append(chat_ctx)
        return super().chat(chat_ctx=chat_ctx, **kwargs)
