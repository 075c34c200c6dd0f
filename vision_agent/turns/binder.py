"""``TurnBinder``: decides which sightings a request to the model gets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from livekit.agents import llm

from ..errors import ImageError
from ..record.ledger import RequestRecord, new_request_id
from ..record.sighting import Sighting
from ..views.vision import Vision
from . import messages
from .budget import Candidate, kept, most_waiting, room_for_views
from .history import insert_before_instructions, is_underway, last_said, question_of, waiting, words
from .rendering import Renderer, numbers_of, request_id_of

EARLY_MAX_S = 10.0
"""Greatest time between a preemptive request and the end of its turn, in seconds."""
FOLLOW_UP_S = 2.0
"""How long a request after a tool call only has the pictures of its question, in seconds; after a slower
tool it also has the view of its own moment."""


@dataclass(frozen=True, slots=True)
class _Again:
    """The view for a request that does not answer new words of a user."""

    anchor: str
    """Id of the item that the request follows."""
    message: llm.ChatMessage
    """Holds the sightings; it is only in requests, not in the history."""
    shows_something: bool
    """Whether there is a picture."""


class TurnBinder:
    """Binds the view of its moment to each request, once.

    | request | its sightings |
    |---|---|
    | a typed question | of the moment when the request is made |
    | a spoken question | of the moment when the user stops speaking |
    | a preemptive request | of its moment; the final question gets the same ones, if its words are the same |
    | the final one, if the preemptive reply is discarded | new ones, unless the first are still fresh |
    | one after a tool call | those of its question; after a slow tool also new ones |
    | one that the agent starts by itself | of the moment when it is made; not kept in the history |

    Pictures that were sent or added since the last answered question go out with the next one.

    Args:
        vision: Looks at the views.
    """

    def __init__(self, vision: Vision) -> None:
        self._vision = vision
        self._ledger = vision.ledger
        self._renderer = Renderer(vision.ledger)
        self._lock = asyncio.Lock()
        self._early: tuple[llm.ChatMessage, float] | None = None  # question of a preemptive request, and when
        self._shared: llm.ChatMessage | None = None  # it got the sightings of a preemptive request
        self._again: _Again | None = None
        self._own_turn = 0  # of the last request that the agent started by itself

    async def completed(self, message: llm.ChatMessage, items: Sequence[Any], *, asked_by: str = "") -> None:
        """Bind a spoken question to the pictures of its preemptive request, or else to the current view.

        Args:
            message: What the user said.
            items: The chat context before it.
            asked_by: Identity of the person who spoke, or empty.
        """
        early, self._early = self._early, None
        if early is not None and time.monotonic() - early[1] < EARLY_MAX_S:
            async with self._lock:  # the preemptive request may still be waiting for its picture
                if words(early[0]) == words(message):
                    messages.share(early[0], message)
                    self._shared = message
        await self._bind(message, items, asked_by)

    def added(self, message: llm.ChatMessage) -> None:
        """Note a message that is in the history now: it was typed, so no end of a turn follows."""
        if self._early is not None and self._early[0].id == message.id:
            self._early = None

    async def request(
        self, chat_ctx: llm.ChatContext, *, said: Collection[str], asked_by: str = ""
    ) -> llm.ChatContext:
        """Return a request as the model gets it, with the view of its moment.

        Removes pictures from the messages of ``chat_ctx`` that no longer fit into a request. A context
        that this method has returned, or a copy of one, is returned unchanged.

        Args:
            chat_ctx: The request.
            said: Ids of the messages in the history. An assistant message that is not among them is not an
                answer but a note that somebody added to this request, such as the result of a retrieval.
            asked_by: Identity of the person who asks, if the message does not name them.
        """
        if self.is_request(chat_ctx):
            return chat_ctx
        items = list(chat_ctx.items)
        question = question_of(items, said=said)
        turn = await self._look_for(question, items, said, asked_by)
        again = self._again.message if self._again is not None else None
        if again is not None:
            insert_before_instructions(items, again)
        return self._rendered(items, question, again, turn, asked_by)

    def is_request(self, chat_ctx: llm.ChatContext) -> bool:
        """Return whether ``request`` made this context."""
        found = request_id_of(chat_ctx.items)
        return bool(found) and self._ledger.request(found) is not None

    def accept(self, sighting: Sighting, items: Sequence[Any]) -> llm.ChatMessage:
        """Return the message that holds a picture somebody sent, for the next question.

        Args:
            sighting: The picture.
            items: The chat context.

        Raises:
            ImageError: The greatest number of pictures is waiting already.
        """
        count = len(waiting(items))
        if count >= most_waiting(self._vision.options.max_images):
            what = "1 picture waits" if count == 1 else f"{count} pictures wait"
            raise ImageError(f"{what} for the next question already: ask it first")
        self._ledger.note(sighting)
        return messages.carrier([sighting], kind="sent", detail=self._detail)

    def add(self, sighting: Sighting) -> llm.ChatMessage:
        """Return the message that holds a picture of a tool, for the request that follows the tool."""
        self._ledger.note(sighting)
        return messages.carrier([sighting], kind="tool", detail=self._detail)

    @property
    def _detail(self) -> str:
        return self._vision.options.inference_detail

    async def _look_for(
        self, question: llm.ChatMessage | None, items: Sequence[Any], said: Collection[str], asked_by: str
    ) -> int:
        """Bind the question, or look for a request without new words of a user; return the turn's number."""
        anchor = question.id if question is not None else last_said(items, said)
        underway = is_underway(items, anchor)
        if self._again is not None and (self._again.anchor != anchor or not underway):
            self._again = None
        if question is None:
            if self._again is None or self._is_old([self._again.message], FOLLOW_UP_S):
                if self._again is None:
                    self._own_turn = self._next_turn(items)
                self._again = await self._look_again(items, anchor, self._own_turn, asked_by)
            return self._own_turn
        if question is self._shared and not underway:
            self._shared = None  # the preemptive reply was discarded: its pictures may be too old now
            if self._is_old([question], self._vision.options.max_age_s):
                messages.unbind(question)
        elif messages.is_bound(question) and (underway or self._is_repeated(question, said)):
            shown = [question] if self._again is None else [question, self._again.message]
            limit_s = FOLLOW_UP_S if underway else self._vision.options.max_age_s
            if self._is_old(shown, limit_s):
                again = await self._look_again(items, anchor, messages.turn_of(question), asked_by)
                if again.shows_something or not underway:  # the model reads only once why it sees nothing
                    self._again = again
        if not messages.is_bound(question):
            self._early = question, time.monotonic()
            await self._bind(question, items, asked_by)
        return messages.turn_of(question)

    async def _bind(self, message: llm.ChatMessage, items: Sequence[Any], asked_by: str) -> None:
        async with self._lock:
            if not messages.is_bound(message):
                sightings = await self._look(items, messages.asked_by(message) or asked_by)
                turn = self._next_turn([item for item in items if item is not message])
                messages.bind(message, sightings, turn=turn, detail=self._detail)

    async def _look_again(self, items: Sequence[Any], anchor: str, turn: int, asked_by: str) -> _Again:
        async with self._lock:
            sightings = await self._look(items, asked_by, turn=turn)
        message = messages.carrier(sightings, kind="question", detail=self._detail, turn=turn)
        return _Again(anchor, message, any(each.image is not None for each in sightings))

    async def _look(self, items: Sequence[Any], asked_by: str, *, turn: int = 0) -> list[Sighting]:
        wanted: dict[str, Any] = {"asked_by": asked_by} if asked_by else {}
        count = len(waiting(items, turn=turn))
        limit = room_for_views(count, max_images=self._vision.options.max_images)
        if limit is not None:
            wanted["limit"] = limit
        seen = await self._vision.look(**wanted)
        return [self._ledger.note(each) for each in seen]

    def _next_turn(self, items: Sequence[Any]) -> int:
        """Return the number of a new turn: one more than the highest number in the history."""
        turns = [messages.turn_of(item) for item in items if isinstance(item, llm.ChatMessage)]
        return 1 + max([self._own_turn, *turns])

    def _is_old(self, shown: Sequence[llm.ChatMessage], limit_s: float) -> bool:
        """Return whether the newest picture of these messages is older than this; True without a picture."""
        seen = [each for message in shown for each in messages.sightings_of(message, self._ledger)]
        times = [each.captured_s for each in seen if each.captured_s is not None]
        return not times or time.monotonic() - max(times) > limit_s

    def _is_repeated(self, question: llm.ChatMessage, said: Collection[str]) -> bool:
        """Return whether an earlier request asked this question of the history, and it was not answered."""
        return question.id in said and any(each.answers == question.id for each in self._ledger.requests)

    def _rendered(
        self,
        items: Sequence[Any],
        question: llm.ChatMessage | None,
        again: llm.ChatMessage | None,
        turn: int,
        asked_by: str,
    ) -> llm.ChatContext:
        sent = waiting(items, turn=turn)
        mine = {id(message) for message in (question if again is None else again, *sent)}
        ours = [
            item
            for item in items
            if isinstance(item, llm.ChatMessage)
            and messages.is_bound(item)
            # an earlier turn without pictures has nothing to give or to lose
            and (id(item) in mine or item is question or messages.has_picture(item))
        ]
        candidates: list[Candidate] = []
        reasons: list[str] = []  # sightings of this turn that say why there is no picture
        for message in ours:
            is_current = id(message) in mine
            seen = {each.id: each for each in messages.sightings_of(message, self._ledger)}
            self._restore(message, seen.values(), wanted=message is question)
            released = {each.id for each in seen.values() if each.image is None and not each.address}
            if released:
                messages.take_out(message, released)
            candidates += [
                Candidate(id=part.id, purpose=seen[part.id].purpose, is_current=is_current)
                for part in message.content
                if isinstance(part, llm.ImageContent) and part.id in seen
            ]
            reasons += [each.id for each in seen.values() if is_current and each.problem is not None]
        goes_out = kept(candidates, max_images=self._vision.options.max_images)
        lost = {each.id for each in candidates} - goes_out
        for message in ours:  # drop the bytes of pictures that no later request will hold; their lines stay
            if lost and messages.about(message).get("kind") != "given":
                messages.take_out(message, lost)
        if question is not None:
            for message in sent:
                messages.about(message)["turn"] = turn
        current = [each.id for each in candidates if each.is_current and each.id in goes_out]
        earlier = [each.id for each in reversed(candidates) if not each.is_current and each.id in goes_out]
        request_id = new_request_id()
        seen_now = (*current, *reasons)
        rendered = self._renderer.render(items, kept=goes_out, current=set(seen_now), request_id=request_id)
        self._ledger.note_request(
            RequestRecord(
                id=request_id,
                turn=turn,
                detail=self._detail,
                answers="" if question is None else question.id,
                asked_by="" if question is None else messages.asked_by(question) or asked_by,
                current=seen_now,
                earlier=tuple(earlier),
                numbered=numbers_of(rendered.items),
                asked_s=time.monotonic(),
            )
        )
        return rendered

    def _restore(self, message: llm.ChatMessage, seen: Iterable[Sighting], *, wanted: bool) -> None:
        """Put back a picture that livekit-agents lost when it replaced a message by the final transcript."""
        there = {part.id for part in message.content if isinstance(part, llm.ImageContent)}
        if wanted and not there and not messages.about(message).get("reduced"):
            message.content.extend(
                messages.picture(each, detail=self._detail) for each in seen if each.image is not None
            )
