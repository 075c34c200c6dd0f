"""What a chat context says about its turns: the question, whether its answer has begun, what is waiting."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from livekit.agents import llm

from . import messages

_OF_TOOLS = (llm.FunctionCall, llm.FunctionCallOutput)


def question_of(items: Sequence[Any], *, said: Collection[str] = ()) -> llm.ChatMessage | None:
    """Return the user message that a request answers, or None if it answers none.

    A picture that was sent, given or added by a tool is not a question: if it arrives after the
    question and before the answer, it must not replace the question.

    Args:
        items: The request.
        said: Ids of the messages in the history; other assistant messages are notes, not answers.
    """
    called = False  # a tool call follows this item: what the assistant said before it is not the answer yet
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        if isinstance(item, _OF_TOOLS):
            called = True
        if not isinstance(item, llm.ChatMessage):
            continue
        if item.role == "user" and messages.is_question(item) and not _is_of_a_tool(items, index):
            return item
        if item.role == "assistant" and item.id in said:
            if not called:
                return None
            called = False
    return None


def _is_of_a_tool(items: Sequence[Any], index: int) -> bool:
    """Return whether a user message is a picture that somebody's own tool has added to the context."""
    message = items[index]
    if messages.is_bound(message) or not messages.has_picture(message):
        return False
    for item in reversed(items[:index]):
        if isinstance(item, _OF_TOOLS):
            return True
        if isinstance(item, llm.ChatMessage) and item.role in ("user", "assistant"):
            return False
    return False


def is_underway(items: Sequence[Any], anchor: str) -> bool:
    """Return whether the answer has begun: a tool call follows the item ``anchor``."""
    for item in reversed(items):
        if isinstance(item, _OF_TOOLS):
            return True
        if item.id == anchor:
            return False
    return False


def last_said(items: Sequence[Any], said: Collection[str]) -> str:
    """Return the id of the last message from a person or the assistant, or an empty string."""
    spoken = [i for i in items if isinstance(i, llm.ChatMessage) and i.role in ("user", "assistant")]
    return next((item.id for item in reversed(spoken) if item.role == "user" or item.id in said), "")


def waiting(items: Sequence[Any], *, turn: int = 0) -> list[llm.ChatMessage]:
    """Return the messages with pictures that belong to no turn yet, or to this turn."""
    return [
        item
        for item in items
        if isinstance(item, llm.ChatMessage)
        and messages.about(item).get("kind") in ("sent", "tool")
        and messages.turn_of(item) in (0, turn)
    ]


def insert_before_instructions(items: list[Any], message: llm.ChatMessage) -> None:
    """Insert a message at the end, but before instructions for this request only."""
    at = len(items)
    while (
        at > 0
        and isinstance(items[at - 1], llm.ChatMessage)
        and items[at - 1].role in ("system", "developer")
    ):
        at -= 1
    items.insert(at, message)


def words(message: llm.ChatMessage) -> list[str]:
    """Return the words of what was said, so that two transcripts of it can be compared."""
    return re.findall(r"\w+", (message.raw_text_content or "").casefold())
