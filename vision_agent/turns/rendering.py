"""A chat context as a provider gets it: each picture after its line, one message per turn."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from livekit.agents import llm

from ..record.ledger import Ledger
from ..record.sighting import Sighting
from . import lines
from .messages import EXTRA_KEY, about, is_bound, sightings_of


@dataclass(frozen=True, slots=True)
class _Settled:
    """A message of an earlier turn as it was rendered, and what it was rendered from."""

    source: list[Any]
    ids: frozenset[str]
    kept: Collection[str]
    content: list[Any]
    rendered: llm.ChatMessage


class Renderer:
    """Renders requests; what has not changed since the last one is not made again.

    Args:
        ledger: Where the sightings are.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._settled: dict[str, _Settled] = {}  # by the message's id

    def render(
        self, items: Iterable[Any], *, kept: AbstractSet[str], current: AbstractSet[str], request_id: str
    ) -> llm.ChatContext:
        """Return the context as the model gets it; the input is untouched.

        Consecutive user messages become one message if they contain pictures of ours: many models
        require that user and assistant alternate.

        Args:
            items: The chat context's items.
            kept: Ids of the sightings whose pictures are in the request.
            current: Ids of the sightings of the current turn.
            request_id: Written into ``extra``, so that we recognise the request when we see it again.
        """
        rendered: list[Any] = []
        run: list[llm.ChatMessage] = []
        settled: dict[str, _Settled] = {}

        def flush() -> None:
            if len(run) == 1 and (found := self._earlier(run[0], kept, current)) is not None:
                settled[run[0].id] = found
                rendered.append(found.rendered)
            elif any(is_bound(message) for message in run):
                rendered.append(_merged(run, self._ledger, kept, current, request_id))
            else:
                rendered.extend(run)
            run.clear()

        for item in items:
            if isinstance(item, llm.ChatMessage) and item.role == "user" and "said" not in about(item):
                run.append(item)
            else:  # "said": rendered before, by this method
                flush()
                rendered.append(item)
        flush()
        self._settled = settled
        return llm.ChatContext(rendered)

    def _earlier(
        self, message: llm.ChatMessage, kept: AbstractSet[str], current: AbstractSet[str]
    ) -> _Settled | None:
        """Return a message of an earlier turn, rendered; None if it is none of those."""
        before = self._settled.get(message.id)
        if (
            before is not None
            and before.source == message.content  # quick: the parts are the very same objects
            and before.ids & kept == before.kept
            and before.ids.isdisjoint(current)
            and before.rendered.content == before.content  # nobody who got the last request has edited it
        ):
            return before
        ids = frozenset(each["id"] for each in about(message).get("sightings", ()))
        if not ids or not ids.isdisjoint(current):
            return None
        made = _merged([message], self._ledger, kept, current, "")
        return _Settled(list(message.content), ids, ids & kept, list(made.content), made)


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
        sightings += about(message).get("sightings", ())
        said += [part for part in message.content if isinstance(part, str)]
        parts.add(message, sightings_of(message, ledger))
    question = next((m for m in reversed(run) if any(isinstance(part, str) for part in m.content)), run[-1])
    known = {
        **({"request": request_id} if request_id else {}),
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
