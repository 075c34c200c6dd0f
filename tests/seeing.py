"""A binder whose views show what a test decides, without a camera."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any, cast

from livekit.agents import llm

from vision_agent import Sighting, Vision, VisionOptions
from vision_agent.imaging.jpeg import EncodedImage
from vision_agent.record.ledger import Ledger, RequestRecord
from vision_agent.turns.binder import TurnBinder

CARD = EncodedImage(data=b"card", mime_type="image/jpeg", width=4, height=3)


def sighting(view: str = "desk", *, age_s: float = 0.08, **known: Any) -> Sighting:
    """What a view showed ``age_s`` ago."""
    now_s = time.monotonic()
    known = {"image": CARD, "captured_unix_s": time.time() - age_s, **known}
    return Sighting(view=view, captured_s=now_s - age_s, chosen_s=now_s, **known)


def nothing(view: str = "desk", problem: str = "it is muted") -> Sighting:
    return Sighting(view=view, problem=problem, chosen="none")


class Seeing:
    """Replaces ``Vision``: shows what the test sets, and counts the looks."""

    def __init__(self, *shows: Sighting, **options: Any) -> None:
        self.options = VisionOptions(**options)
        self.ledger = Ledger(max_bytes=self.options.max_held_bytes)
        self.shows: Sequence[Sighting] = shows
        self.looks: list[dict[str, Any]] = []

    async def look(self, *, asked_by: str = "", limit: int | None = None) -> list[Sighting]:
        self.looks.append({"asked_by": asked_by, "limit": limit})
        return list(self.shows)[: None if limit is None else limit]


class Talk:
    """A chat context and its binder, as an agent has them."""

    def __init__(self, *shows: Sighting, **options: Any) -> None:
        self.vision = Seeing(*shows, **options)
        self.binder = TurnBinder(cast("Vision", self.vision))
        self.chat_ctx = llm.ChatContext.empty()

    def show(self, *shows: Sighting) -> None:
        self.vision.shows = shows

    def request(self, *, said: Collection[str] | None = None, asked_by: str = "") -> llm.ChatContext:
        """The request for the context as it stands."""
        known = {item.id for item in self.chat_ctx.items} if said is None else said
        return asyncio.run(self.binder.request(self.chat_ctx.copy(), said=known, asked_by=asked_by))

    def ask(self, question: str = "What is that?", *, asked_by: str = "") -> llm.ChatContext:
        """The request of a typed question."""
        said = {item.id for item in self.chat_ctx.items}
        self.chat_ctx.add_message(role="user", content=question)
        return self.request(said=said, asked_by=asked_by)

    def answer(self, text: str = "A cup.") -> None:
        self.chat_ctx.add_message(role="assistant", content=text)

    def call(self, name: str = "lookup") -> None:
        """The answer begins with a tool call that is done."""
        call = llm.FunctionCall(name=name, call_id=f"call-{len(self.chat_ctx.items)}", arguments="{}")
        done = llm.FunctionCallOutput(name=name, call_id=call.call_id, output="done", is_error=False)
        self.chat_ctx.items.extend([call, done])

    def send(self, image: EncodedImage = CARD, caption: str = "", owner: str = "") -> llm.ChatMessage:
        """Somebody sends a picture."""
        sent = Sighting(view=caption, owner=owner, purpose="upload", image=image, chosen="sent")
        message = self.binder.accept(sent, self.chat_ctx.items)
        self.chat_ctx.items.append(message)
        return message

    @property
    def last(self) -> RequestRecord:
        return self.vision.ledger.requests[-1]


def parts(message: llm.ChatMessage) -> list[str]:
    return [part if isinstance(part, str) else "<picture>" for part in message.content]


def users(chat_ctx: llm.ChatContext) -> list[list[str]]:
    """What each user message of a request holds."""
    return [parts(message) for message in chat_ctx.messages() if message.role == "user"]
