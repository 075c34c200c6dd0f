"""When pictures go to a realtime model, by the kind of its session."""

from __future__ import annotations

from typing import Any, Literal

from livekit.agents import llm

from ..livekit_compat import openai_conversation

FramePolicy = Literal["stream", "items", "items_while_speaking"]
"""When pictures go out.

``stream``: frames at the speaking and the silent rate, as Gemini Live takes them; they don't stay.
``items``: each picture becomes an item of the conversation, and the model reads all items again for every
answer. So one picture of each view goes out with each question, and replaces the one before.
``items_while_speaking``: like ``items``, and also at the speaking rate while the user speaks. It is for a
server that decides when the user has finished, and answers at that moment.
"""


def policy_of(session: llm.RealtimeSession[Any]) -> FramePolicy:
    """Return when pictures go to a session: ``items`` for OpenAI Realtime and what derives from it.

    Args:
        session: A session of any plugin, or of LiveKit's fallback adapter.
    """
    if openai_conversation(session) is None:
        return "stream"
    return "items_while_speaking" if session.capabilities.turn_detection else "items"
