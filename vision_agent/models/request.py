"""What a request asks, and about which pictures: read from the sightings in the messages' ``extra``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from livekit.agents import llm

from ..imaging.frame import U8
from ..record.sighting import Purpose
from ..turns.lines import clean, problem_text
from ..turns.messages import about
from .question import Question

Kind = Literal["view", "sent", "given"]
_KINDS: dict[Purpose, Kind] = {
    "turn": "view",
    "realtime": "view",
    "tool": "sent",
    "upload": "sent",
    "initial": "given",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of a request."""

    kind: Kind
    """Where it came from."""
    name: str
    """The view's name, or the caption of a picture that was sent."""
    address: str
    """The picture as a data URL, or its address."""
    number: int
    """Its number in the line beside it, or 0 if the line belongs to an earlier message."""
    is_current: bool
    """Whether it belongs to the current turn."""

    @property
    def title(self) -> str:
        """What an answer calls it."""
        return {"view": self.name, "sent": "the picture you sent"}.get(
            self.kind, "the picture given at the start"
        )

    @property
    def is_elsewhere(self) -> bool:
        """Whether somebody would have to fetch it."""
        return self.address.startswith(("http://", "https://"))

    def rgb(self) -> U8 | None:
        """Decode it to RGB ``(h, w, 3)``; None if that fails."""
        try:
            packet = base64.b64decode(self.address.partition(";base64,")[2], validate=True)
        except binascii.Error:
            return None
        bgr = cv2.imdecode(np.frombuffer(packet, np.uint8), cv2.IMREAD_COLOR) if packet else None
        return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


class Stopped(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A question and its pictures."""

    question: Question
    """What is asked."""
    seen: Sequence[tuple[Picture, U8]]
    """The pictures the question is about that can be decoded, in the order of the request."""
    elsewhere: int
    """How many more pictures somebody would have to fetch."""
    views: Sequence[Picture]
    """What the views showed for the question."""
    earlier: Sequence[Picture]
    """What views showed for earlier questions, the newest first."""
    forgotten: bool
    """Whether earlier pictures are no longer in the request."""
    notes: Sequence[str]
    """Why there is no picture of a view."""
    is_stopped: Callable[[], bool]
    """Returns whether nobody waits for the answer any more."""

    def pictures(
        self, nearness: Callable[[Picture], float] = lambda picture: 0.0
    ) -> Iterator[tuple[Picture, U8]]:
        """Yield the pictures the question is about, the nearest first, while somebody waits for the answer.

        Raises:
            Stopped: Nobody waits for the answer any more.
        """
        for each in sorted(self.seen, key=lambda each: -nearness(each[0])):  # stable
            if self.is_stopped():
                raise Stopped
            yield each

    def mark_arguments(self, picture: Picture) -> dict[str, Any]:
        """Return the arguments of ``annotate`` that name this picture."""
        if picture.is_current and len(self.seen) + self.elsewhere == 1:
            return {}
        name = clean(picture.name) or "upload"
        is_only = sum((clean(each.name) or "upload") == name for each, _ in self.seen) == 1
        return {"view": name} if is_only or not picture.number else {"picture": picture.number}

    def marked(self, arguments: dict[str, Any]) -> Picture | None:
        """Return the picture that a call of ``annotate`` named."""
        pictures = [each for each, _ in self.seen]
        return next((each for each in pictures if arguments and arguments == self.mark_arguments(each)), None)


def read_request(
    chat_ctx: llm.ChatContext, *, is_stopped: Callable[[], bool] = lambda: False
) -> Request | None:
    """Sort the messages of a request; None if it has no message of a user."""
    spoken = [message for message in chat_ctx.messages() if message.role in ("user", "assistant")]
    while spoken and spoken[-1].role == "assistant":
        spoken.pop()
    if not spoken:
        return None
    start = len(spoken)  # pictures sent since the last answer belong to the question
    while start > 0 and spoken[start - 1].role == "user":
        start -= 1
    run = spoken[start:]
    users = [message for message in spoken if message.role == "user"]
    pictures = [picture for message in users for picture in _pictures(message, users, run)]
    views = [picture for picture in pictures if picture.kind == "view" and picture.is_current]
    question = Question(_asked(chat_ctx, run), views=[view.name for view in views])
    given = [picture for picture in pictures if picture.kind == "given"]
    at_first = [picture for message in run for picture in _pictures(message, users, run)]
    asked = [each for each in pictures if each.is_current or (each.kind == "given" and each in at_first)]
    if given and question.start:
        asked = given
    decoded = [(picture, picture.rgb()) for picture in asked]
    return Request(
        question=question,
        seen=[(picture, rgb) for picture, rgb in decoded if rgb is not None],
        elsewhere=sum(picture.is_elsewhere for picture in asked),
        views=views,
        earlier=[each for each in reversed(pictures) if each.kind == "view" and not each.is_current],
        forgotten=any(_has_lost_one(message) for message in users),
        notes=[note for message in run for note in _notes(message)],
        is_stopped=is_stopped,
    )


def _asked(chat_ctx: llm.ChatContext, run: Sequence[llm.ChatMessage]) -> str:
    """Return what was said since the last answer, or the instructions if the agent speaks by itself."""
    texts = [text for message in run if (text := _said(message))]
    if texts:
        return texts[-1]
    last = chat_ctx.items[-1]
    is_wanted = isinstance(last, llm.ChatMessage) and last.role in ("system", "developer")
    return (last.text_content or "") if is_wanted and isinstance(last, llm.ChatMessage) else ""


def _said(message: llm.ChatMessage) -> str:
    """Return a person's words, without the lines beside pictures."""
    said = about(message).get("said")
    parts = message.content if said is None else said
    return " ".join(part for part in parts if isinstance(part, str))


def _pictures(
    message: llm.ChatMessage, users: Sequence[llm.ChatMessage], run: Sequence[llm.ChatMessage]
) -> list[Picture]:
    known = {each["id"]: each for each in about(message).get("sightings", ())}
    newest = next((each for each in reversed(users) if about(each).get("current")), None)
    is_new = any(message is each for each in run)
    found, number = [], 0
    for part in message.content:
        if not isinstance(part, llm.ImageContent):
            continue
        number += 1
        if isinstance(part.image, str):
            sighting = known.get(part.id)
            found.append(
                Picture(
                    kind="sent" if sighting is None else _KINDS[sighting["purpose"]],
                    name="" if sighting is None else sighting["view"],
                    address=part.image,
                    number=number if message is newest else 0,
                    is_current=part.id in about(message)["current"] if sighting else is_new,
                )
            )
    return found


def _notes(message: llm.ChatMessage) -> list[str]:
    known = about(message)
    if "sightings" not in known:
        return []
    if not known["sightings"]:
        return ["no picture: there is no camera"]
    blind = [each for each in known["sightings"] if each["problem"] is not None]
    return [problem_text(each["view"], each["problem"]) for each in blind]


def _has_lost_one(message: llm.ChatMessage) -> bool:
    """Return whether the message has lost a picture of an earlier turn."""
    there = {part.id for part in message.content if isinstance(part, llm.ImageContent)}
    return any(
        each["problem"] is None and each["id"] not in there for each in about(message).get("sightings", ())
    )
