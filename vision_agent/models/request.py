"""The pictures of a request: those the question is about, and the earlier ones of the same views."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from livekit.agents import llm

from ..imaging.frame import U8
from ..turns.context import DROPPED_LINE
from .question import Question

VIEW = re.compile(r"\[(.+), seen \d+ ms before this question\]")
"""The line beside the picture of a view."""
SENT = re.compile(r"\[a picture the user sent(?:: (.+))?\]")
"""The line beside a picture somebody sent, with its caption if it has one."""
GIVEN = re.compile(r"\[a picture given at the start(?:: (.*))?\]")
"""The line beside a picture of the initial context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of a request, named by the line beside it."""

    kind: Literal["view", "sent", "given"]
    """Where it came from."""
    name: str
    """The view's name, or what ``annotate`` calls the picture."""
    address: str
    """The picture as a data URL, or where it lies."""

    @property
    def title(self) -> str:
        """What an answer calls it."""
        return {"view": self.name, "sent": "the picture you sent"}.get(
            self.kind, "the picture given at the start"
        )

    @property
    def is_elsewhere(self) -> bool:
        """Whether it would have to be fetched."""
        return self.address.startswith(("http://", "https://"))

    def rgb(self) -> U8 | None:
        """Decode it, RGB ``(h, w, 3)``; None where that can't be done."""
        try:
            packet = base64.b64decode(self.address.partition(";base64,")[2], validate=True)
        except binascii.Error:
            return None
        bgr = cv2.imdecode(np.frombuffer(packet, np.uint8), cv2.IMREAD_COLOR) if packet else None
        return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A question and its pictures."""

    question: Question
    """What is asked."""
    seen: Sequence[tuple[Picture, U8]]
    """The pictures the question is about that can be decoded, in the order of the request."""
    elsewhere: int
    """How many more would have to be fetched."""
    views: Sequence[Picture]
    """What the views showed for the question."""
    earlier: Sequence[Picture]
    """What views showed for earlier questions, the newest first."""
    forgotten: bool
    """Whether earlier pictures are no longer in the request."""
    notes: Sequence[str]
    """Why there is no picture of a view."""
    everything: Sequence[Picture]
    """All pictures in the order in which ``annotate`` looks for a name."""

    def needs_name(self, picture: Picture) -> bool:
        """Tell whether ``annotate`` must be told the picture's name to find it."""
        return len(self.seen) + self.elsewhere > 1 or self.everything[0] is not picture

    def reachable(self, picture: Picture) -> bool:
        """Tell whether the picture's name means this picture, not a newer one of the same name."""
        return next(each for each in self.everything if each.name == picture.name) is picture


def read_request(chat_ctx: llm.ChatContext) -> Request | None:
    """Sort the messages of a request; None if it has none of a user."""
    spoken = [message for message in chat_ctx.messages() if message.role in ("user", "assistant")]
    while spoken and spoken[-1].role == "assistant":
        spoken.pop()
    if not spoken:
        return None
    pictures = [list(_pictures(message)) if message.role == "user" else [] for message in spoken]
    start = len(spoken)  # what was sent since the last answer belongs to the question
    while start > 0 and spoken[start - 1].role == "user":
        start -= 1
    # a picture that was sent may stand behind the question
    at = max((i for i in range(start, len(spoken)) if _text(spoken[i])), default=len(spoken) - 1)
    views = [picture for picture in pictures[at] if picture.kind == "view"]
    question = Question(_text(spoken[at]), views=[view.name for view in views])
    given = [picture for each in pictures for picture in each if picture.kind == "given"]
    asked = [p for i in range(start, len(spoken)) for p in pictures[i] if p.kind != "view" or i == at]
    if given and question.start:
        asked = given
    decoded = [(picture, picture.rgb()) for picture in asked]
    lines = [part for part in spoken[at].content if isinstance(part, str)]
    return Request(
        question=question,
        seen=[(picture, rgb) for picture, rgb in decoded if rgb is not None],
        elsewhere=sum(picture.is_elsewhere for picture in asked),
        views=views,
        earlier=[p for each in reversed(pictures[:at]) for p in each if p.kind == "view"],
        forgotten=any(DROPPED_LINE in message.content for message in spoken),
        notes=[line.strip("[]") for line in lines if line.startswith("[no picture")],
        everything=[picture for each in reversed(pictures) for picture in each],
    )


def _text(message: llm.ChatMessage) -> str:
    """Return what was said, without the lines beside pictures."""
    return " ".join(part for part in message.content if isinstance(part, str) and not part.startswith("["))


def _pictures(message: llm.ChatMessage) -> Iterator[Picture]:
    line = ""
    for part in message.content:
        if isinstance(part, llm.ImageContent) and isinstance(part.image, str):
            yield _picture(line, part.image)
        line = part if isinstance(part, str) else ""


def _picture(line: str, address: str) -> Picture:
    if view := VIEW.fullmatch(line):
        return Picture(kind="view", name=view[1], address=address)
    if given := GIVEN.fullmatch(line):
        return Picture(kind="given", name=given[1] or "", address=address)
    sent = SENT.fullmatch(line)
    name = (sent[1] or "upload") if sent else ""
    return Picture(kind="sent", name=name, address=address)
