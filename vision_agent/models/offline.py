"""The built-in model: needs no key, network or download, and looks only at the request's pictures."""

from __future__ import annotations

import asyncio
import re
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, llm
from livekit.agents.types import NotGivenOr

from .answers import CAN, describe, describe_change
from .marks import mark, marked
from .request import read_request

NO_MARKS = "I can't mark pictures here."
ONLY_CODES_AND_TEXT = "I can mark only codes and text."


class OfflineLLM(llm.LLM[Any]):
    """A real, streaming ``llm.LLM`` that answers from the pixels in the request.

    It reads pictures in one thread: an interrupted answer stops and makes room for the next one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offline-model")
        """The thread that reads pictures."""

    async def aclose(self) -> None:
        """Release the thread."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        await super().aclose()

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
        model, stopped = self._llm, threading.Event()
        assert isinstance(model, OfflineLLM)
        read = partial(answer, self._chat_ctx, can_mark=can_mark, is_stopped=stopped.is_set)
        try:
            reply = await asyncio.get_running_loop().run_in_executor(model.executor, read)
        finally:
            stopped.set()
        reply_id = f"offline-{uuid.uuid4().hex[:12]}"
        if isinstance(reply, llm.FunctionToolCall):
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[reply])
            self._event_ch.send_nowait(llm.ChatChunk(id=reply_id, delta=delta))
            return
        for piece in re.findall(r"\S+\s*", reply):
            delta = llm.ChoiceDelta(role="assistant", content=piece)
            self._event_ch.send_nowait(llm.ChatChunk(id=reply_id, delta=delta))


def answer(
    chat_ctx: llm.ChatContext, *, can_mark: bool = False, is_stopped: Callable[[], bool] = lambda: False
) -> str | llm.FunctionToolCall:
    """Answer the last user message from its own pictures, or call ``annotate`` to show something.

    Args:
        chat_ctx: The request.
        can_mark: Whether the tool ``annotate`` is available.
        is_stopped: Returns whether nobody waits for the answer any more.

    Raises:
        Stopped: Nobody waits for the answer any more.
    """
    request = read_request(chat_ctx, is_stopped=is_stopped)
    if request is None:
        return f"Hello. {CAN}"
    done = marked(chat_ctx, request)
    if done is not None:
        return done
    elsewhere = request.elsewhere
    said = [f"I can't open addresses, so I don't see {elsewhere} of the pictures given."] if elsewhere else []
    if not request.seen:
        why = "; ".join(request.notes) or "there is no picture"
        return " ".join([f"I can't see anything now: {why}.", *said])
    question = request.question
    if question.marking and can_mark and not question.of_the_whole:
        return mark(request)
    refused = [ONLY_CODES_AND_TEXT if can_mark else NO_MARKS] if question.marking else []
    told = describe_change(request) if question.change else describe(request)
    return " ".join([*refused, told, *said])
