"""When pictures go to a realtime model, by the kind of its session."""

from __future__ import annotations

from typing import Any, Literal

from livekit.agents import llm

from ..livekit_compat import openai_conversation

FramePolicy = Literal["stream", "items", "items_while_speaking"]
"""When pictures go out.

``stream``: frames at the speaking and the silent rate, as Gemini Live takes them; they pass by.
``items``: each picture becomes an item of the conversation, which is read again with every answer. So
one picture a view goes out with each question, and replaces the one before.
``items_while_speaking``: as ``items``, and while the user speaks at the speaking rate, too. It is for
a server that decides by itself when the user has finished, and answers in the same moment.
"""


def policy_of(session: llm.RealtimeSession[Any]) -> FramePolicy:
    """Return when pictures go to a session: ``items`` for OpenAI Realtime and what derives from it.

    Args:
        session: Of any plugin, or LiveKit's fallback adapter over several.
    """
    if openai_conversation(session) is None:
        return "stream"
    return "items_while_speaking" if session.capabilities.turn_detection else "items"
