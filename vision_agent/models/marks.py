"""Marks: which picture of a request shows the thing to mark, and where on it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence

from livekit.agents import llm

from ..imaging.frame import U8
from ..turns.messages import about
from . import reading
from .question import Question
from .reading import Mark
from .request import Picture, Request

SENT = re.compile(r"\b(sent|send|upload|uploaded|attached|photo)\b")
"""Asks about a picture that was sent."""
UNITS = 1000
"""The coordinates of boxes are thousandths of the picture's width and height."""


def mark(request: Request) -> str | llm.FunctionToolCall:
    """Call ``annotate`` for the picture that shows the thing, or say why there is nothing to mark."""
    question = request.question
    specific = bool(question.wanted) and not (question.code or question.words)
    second: tuple[Picture, U8, list[Mark]] | None = None  # shows a code or text, but not the named one
    for picture, rgb in request.pictures(lambda each: _nearness(question, each)):
        read = _read(question, rgb)
        named = [each for each in read if question.wanted & set(re.findall(r"\w+", each.text.casefold()))]
        if named:
            return _call(request, picture, rgb, named)
        if read and second is None:
            second = picture, rgb, read
            if not question.wanted:
                break
    if second is not None and not specific:
        return _call(request, *second)
    if second is not None:
        return "I can mark only codes and text, and none that I can read says that."
    if question.code:
        return "I see no code I can read, so there is nothing I can mark."
    return "I see no code and no text I can read, so there is nothing I can mark."


def marked(chat_ctx: llm.ChatContext, request: Request) -> str | None:
    """Say how a call of ``annotate`` went, if the request follows its result."""
    # after it there may be the current views, and messages that somebody's own node has added
    last = next((item for item in reversed(chat_ctx.items) if not _is_aside(item)), None)
    if not isinstance(last, llm.FunctionCallOutput) or last.name != "annotate":
        return None
    if last.is_error:
        return f"I could not mark it: {last.output}."
    call = next(i for i in chat_ctx.items if isinstance(i, llm.FunctionCall) and i.call_id == last.call_id)
    arguments = json.loads(call.arguments)
    labels = ", ".join(box["label"] for box in arguments["boxes"])
    where = request.marked({key: value for key, value in arguments.items() if key != "boxes"})
    if where is None:
        return f"I marked {labels} on the picture and sent it to you."
    title = f"the picture of {where.title}" if where.kind == "view" else where.title
    return f"I marked {labels} on {title} and sent it to you."


def _is_aside(item: llm.ChatItem) -> bool:
    if not isinstance(item, llm.ChatMessage):
        return False
    return item.role in ("system", "developer") or (item.role == "user" and about(item).get("said") == [])


def _nearness(question: Question, picture: Picture) -> float:
    """Return how well a question fits a picture's name; pictures sent for it come before the views."""
    if picture.kind == "view":
        words = set(re.findall(r"\w+", picture.name.casefold())) - {"of", "at", "the", "a"}
        return len(words & set(re.findall(r"\w+", question.text)))
    if picture.kind == "given":
        return -1.0
    return 10.0 if SENT.search(question.text) else 0.5


def _read(question: Question, rgb: U8) -> list[Mark]:
    if question.code:
        return reading.read_codes(rgb)
    if question.words:
        return reading.read_text(rgb)
    codes = reading.read_codes(rgb)
    return codes if codes and not question.wanted else [*codes, *reading.read_text(rgb)]


def _call(request: Request, picture: Picture, rgb: U8, marks: Sequence[Mark]) -> llm.FunctionToolCall:
    height, width = rgb.shape[:2]
    boxes = []
    for each in marks:
        left, top, right, bottom = each.box_xyxy
        corners = (left / width, top / height, right / width, bottom / height)
        shares = [min(UNITS, max(0, round(UNITS * share))) for share in corners]
        sides = dict(zip(("left", "top", "right", "bottom"), shares, strict=True))
        boxes.append({"label": each.text, **sides})
    arguments = {"boxes": boxes, **request.mark_arguments(picture)}
    return llm.FunctionToolCall(
        name="annotate", arguments=json.dumps(arguments), call_id=f"call-{uuid.uuid4().hex[:12]}"
    )
