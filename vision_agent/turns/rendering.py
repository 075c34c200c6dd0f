"""A chat context as a provider gets it: each picture after its line, one message per turn."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from livekit.agents import llm

from ..record.ledger import Ledger
from ..record.sighting import Sighting
from . import lines
from .messages import EXTRA_KEY, about, is_bound, sightings_of


def render(
    items: Iterable[Any], *, ledger: Ledger, kept: Collection[str], current: Collection[str], request_id: str
) -> llm.ChatContext:
    """Return the context as the model gets it; the input is untouched.

    Consecutive user messages become one message if they contain pictures of ours: many models require
    that user and assistant alternate.

    Args:
        items: The chat context's items.
        ledger: Where the sightings are.
        kept: Ids of the sightings whose pictures are in the request.
        current: Ids of the sightings of the current turn.
        request_id: Written into ``extra``, so that we recognise the request when we see it again.
    """
    rendered: list[Any] = []
    run: list[llm.ChatMessage] = []

    def flush() -> None:
        if any(is_bound(message) for message in run):
            rendered.append(_merged(run, ledger, kept, current, request_id))
        else:
            rendered.extend(run)
        run.clear()

    for item in items:
        if isinstance(item, llm.ChatMessage) and item.role == "user":
            run.append(item)
        else:
            flush()
            rendered.append(item)
    flush()
    return llm.ChatContext(rendered)


def request_id_of(items: Iterable[Any]) -> str:
    """Return the id of the request for which a context was rendered, or an empty string."""
    for item in items:
        if isinstance(item, llm.ChatMessage) and (found := about(item).get("request")):
            return str(found)
    return ""


def numbers_of(items: Iterable[Any]) -> tuple[str, ...]:
    """Return the ids of the pictures of a request's moment, in the order of the numbers in their lines."""
    found: tuple[str, ...] = ()
    for item in items:
        if isinstance(item, llm.ChatMessage) and about(item).get("current"):
            found = tuple(about(item)["pictures"])
    return found


def _merged(
    run: Sequence[llm.ChatMessage],
    ledger: Ledger,
    kept: Collection[str],
    current: Collection[str],
    request_id: str,
) -> llm.ChatMessage:
    parts = _Parts(kept=kept, count=_pictures_in(run, kept))
    sightings: list[dict[str, Any]] = []
    said: list[str] = []
    for message in run:
        seen = sightings_of(message, ledger)
        sightings += [each.record() for each in seen]
        said += [part for part in message.content if isinstance(part, str)]
        parts.add(message, seen)
    question = next((m for m in reversed(run) if any(isinstance(part, str) for part in m.content)), run[-1])
    known = {
        "request": request_id,
        "turn": max(int(about(message).get("turn", 0)) for message in run),
        "said": said,
        "sightings": sightings,
        "pictures": parts.shown,
        "current": [each["id"] for each in sightings if each["id"] in current],
    }
    extra = {**question.extra, EXTRA_KEY: known}
    return question.model_copy(update={"content": parts.content, "extra": extra})


def _pictures_in(run: Sequence[llm.ChatMessage], kept: Collection[str]) -> int:
    count = 0
    for message in run:
        ours = {each["id"] for each in about(message).get("sightings", ())}
        for part in message.content:
            count += isinstance(part, llm.ImageContent) and (part.id in kept or part.id not in ours)
    return count


class _Parts:
    """The content of one rendered message: the words, and the pictures, each after its line."""

    def __init__(self, *, kept: Collection[str], count: int) -> None:
        self.content: list[llm.ChatContent] = []
        self.shown: list[str] = []
        self._kept, self._count = kept, count

    def add(self, message: llm.ChatMessage, sightings: Sequence[Sighting]) -> None:
        by_id = {each.id: each for each in sightings}
        for part in message.content:
            if not isinstance(part, llm.ImageContent):
                self.content.append(part)
            elif part.id not in by_id:
                self.shown.append(part.id)
                self.content += [lines.unnamed_line(len(self.shown), self._count), part]
            elif part.id in self._kept:
                self.shown.append(part.id)
                self.content += [self._line(message, by_id[part.id]), part]
        for each in sightings:
            if each.problem is not None:
                self.content.append(lines.problem_line(each))
            elif each.id not in self.shown:
                self.content.append(lines.dropped_line(each))
        if is_bound(message) and not sightings:
            self.content.append(lines.NO_CAMERA)

    def _line(self, message: llm.ChatMessage, sighting: Sighting) -> str:
        asks = any(isinstance(part, str) for part in message.content)
        return lines.picture_line(
            sighting,
            number=len(self.shown),
            count=self._count,
            asked="this question" if asks else "this request",  # it never changes: providers cache it
        )
