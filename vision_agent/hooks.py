"""Hooks of a ``VisionAgent`` that a subclass overrides: ours run whether or not it calls ``super()``.

livekit-agents calls ``on_enter``, ``on_exit``, ``on_user_turn_completed`` and ``llm_node`` of the agent.
A subclass that forgets ``super()`` in one of them would see nothing, so we wrap each override when the
class is defined. If an override calls ``super()``, our part still runs only once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, Protocol

from livekit.agents import llm


class Hooked(Protocol):
    """The methods of a ``VisionAgent`` that the wrapped hooks call."""

    async def _enter(self) -> None: ...
    async def _leave(self) -> None: ...
    async def _completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None: ...
    async def _request(self, chat_ctx: llm.ChatContext) -> llm.ChatContext: ...
    def _note_calls(self, chunk: object, request: llm.ChatContext) -> None: ...


def wrap_hooks(agent_class: type) -> None:
    """Wrap the hooks that this class defines itself."""
    for name, wrap in _WRAPPERS.items():
        if name in vars(agent_class):
            setattr(agent_class, name, wrap(vars(agent_class)[name]))


def _on_enter(theirs: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(theirs)
    async def on_enter(self: Hooked) -> None:
        await self._enter()
        await theirs(self)

    return on_enter


def _on_exit(theirs: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(theirs)
    async def on_exit(self: Hooked) -> None:
        try:
            await theirs(self)
        finally:
            await self._leave()

    return on_exit


def _on_user_turn_completed(theirs: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(theirs)
    async def on_user_turn_completed(
        self: Hooked, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        await theirs(self, turn_ctx, new_message)  # if it raises to stop the answer, we don't look either
        await self._completed(turn_ctx, new_message)

    return on_user_turn_completed


def _llm_node(theirs: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(theirs)
    async def llm_node(
        self: Hooked, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: Any
    ) -> AsyncIterator[Any]:
        request = await self._request(chat_ctx)
        answer = theirs(self, request, tools, model_settings)
        if inspect.isawaitable(answer):
            answer = await answer
        if not isinstance(answer, AsyncIterable):
            if answer is not None:
                self._note_calls(answer, request)
                yield answer
            return
        async for chunk in answer:
            self._note_calls(chunk, request)
            yield chunk

    return llm_node


_WRAPPERS = {
    "on_enter": _on_enter,
    "on_exit": _on_exit,
    "on_user_turn_completed": _on_user_turn_completed,
    "llm_node": _llm_node,
}
