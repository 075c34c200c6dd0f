"""``Intake``: puts what people type on ``lk.chat`` into a queue, or tells them why it does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from livekit import rtc
from livekit.agents.types import TOPIC_CHAT

from ..livekit_compat import text_stream_handler
from ..waiting import ended, within
from .fair_queue import FairQueue, Question
from .listening import Listening, is_person
from .transcript import ASKED_BY, ERROR, QUESTION, tell

MAX_CHARS = 10_000
"""Most characters of a question."""
ARRIVES_WITHIN_S = 30.0
"""How long a question may take to arrive, in seconds."""
KNOWN_WITHIN_S = 5.0
"""How long the server may take to announce the participant who sent a question, in seconds."""
MAX_NOTICES = 64
"""Most notices in flight; with more, we only count and log a refusal."""

logger = logging.getLogger(__name__)


def address_of(question: Question) -> Mapping[str, str]:
    """Return the attributes that name the question of an answer or of a notice."""
    return {ASKED_BY: question.asked_by, QUESTION: question.id}


class Intake:
    """Reads questions, checks their senders and their length, and queues them.

    Args:
        room: The room, connected or not.
        listening: Whom the agent listens to; not ``linked``: then LiveKit itself reads the questions.
        queue: Where questions wait for their turn.
    """

    def __init__(self, room: rtc.Room, *, listening: Listening, queue: FairQueue) -> None:
        self._room, self._listening, self._queue = room, listening, queue
        self._started = False
        self._replaced: Callable[[rtc.TextStreamReader, str], None] | None = None
        self._somebody_came = asyncio.Event()
        self._reading: dict[asyncio.Task[None], str] = {}
        self._notices: set[asyncio.Task[None]] = set()
        self.arrived = asyncio.Event()
        """Set when a question in the queue may be ready; whoever takes the questions clears it."""
        self.asked = self.refused = self.dropped = 0

    def start(self) -> None:
        """Start to take questions; call it again to take the topic back from another handler."""
        if not self._started:
            self._started = True
            self._room.on("participant_connected", self._on_came)
            self._room.on("participant_disconnected", self._on_left)
        handler = text_stream_handler(self._room, TOPIC_CHAT)
        if handler == self._on_stream:
            return
        if handler is not None:
            self._replaced = handler
            self._room.unregister_text_stream_handler(TOPIC_CHAT)
        self._room.register_text_stream_handler(TOPIC_CHAT, self._on_stream)

    def drop(self) -> int:
        """Drop all questions that are waiting or arriving; return how many."""
        for task in self._reading:
            task.cancel()
        lost = self._queue.clear()
        self.dropped += lost
        return lost

    async def aclose(self) -> None:
        """Take no more questions and drop those that wait; safe to call twice.

        If we replaced another handler of the topic, we put it back, unless the topic has a new one since.
        """
        if self._started:
            self._started = False
            self._room.off("participant_connected", self._on_came)
            self._room.off("participant_disconnected", self._on_left)
            if text_stream_handler(self._room, TOPIC_CHAT) == self._on_stream:
                self._room.unregister_text_stream_handler(TOPIC_CHAT)
                if self._replaced is not None:
                    self._room.register_text_stream_handler(TOPIC_CHAT, self._replaced)
            self._replaced = None
        self.drop()
        await ended(*self._reading, *self._notices)

    def tell(self, question: Question, error: str, words: str) -> None:
        """Tell the person who asked, and nobody else, why there is no answer."""
        attributes = {ERROR: error, **address_of(question)}
        telling = tell(self._room, words, attributes, identities=[question.asked_by])
        task = asyncio.create_task(telling, name="notice to the person who asked")
        self._notices.add(task)
        task.add_done_callback(self._told)

    def _on_stream(self, reader: rtc.TextStreamReader, identity: str) -> None:
        question = Question(id=reader.info.stream_id, asked_by=identity)
        sender = self._room.remote_participants.get(identity)
        if sender is not None and not self._listening.hears(sender):
            reader.close()
            self._do_not_hear(question, sender)
        elif (why := self._queue.put(question)) is not None:
            reader.close()
            self._refuse(question, "busy", f"I can't take this question now: {why}. Ask again later.")
        else:
            task = asyncio.create_task(self._take(question, reader), name=f"question of {identity}")
            self._reading[task] = identity
            task.add_done_callback(partial(self._taken, question, reader))

    def _taken(self, question: Question, reader: rtc.TextStreamReader, task: asyncio.Task[None]) -> None:
        del self._reading[task]
        reader.close()
        if question.text is None and self._queue.remove(question):  # it is empty, refused or dropped
            self.dropped += task.cancelled()
        self.arrived.set()  # another question may wait behind one that was not taken
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a question could not be taken", exc_info=error)

    async def _take(self, question: Question, reader: rtc.TextStreamReader) -> None:
        try:
            text = await within(ARRIVES_WITHIN_S, _read(reader))
            sender = await within(KNOWN_WITHIN_S, self._known(question.asked_by))
        except asyncio.TimeoutError:
            self._refuse(question, "broken", "Your question did not arrive completely. Please ask again.")
        except rtc.StreamError:
            self.dropped += self._queue.remove(question)
            logger.info("the stream of a question was interrupted")
        else:
            if not self._listening.hears(sender):
                self._do_not_hear(question, sender)
            elif text is None:
                self._refuse(question, "long", f"Your question is longer than {MAX_CHARS} characters.")
            elif text.strip():
                question.text = text
                self.asked += 1

    async def _known(self, identity: str) -> rtc.RemoteParticipant:
        """Wait until the server has announced this participant: the text may come first."""
        while (sender := self._room.remote_participants.get(identity)) is None:
            self._somebody_came.clear()
            await self._somebody_came.wait()
        return sender

    def _do_not_hear(self, question: Question, sender: rtc.RemoteParticipant) -> None:
        words = "I can't answer you: in this room I answer only certain people."
        self._refuse(question, "not_heard", words if is_person(sender) else None)

    def _refuse(self, question: Question, error: str, words: str | None) -> None:
        """Count a refused question and tell its sender why; without words (to a machine) tell nothing."""
        self._queue.remove(question)
        self.refused += 1
        is_told = words is not None and len(self._notices) < MAX_NOTICES
        level = logging.DEBUG if self._notices else logging.INFO  # a flood of refusals is one line
        logger.log(level, "a question was refused", extra={"error": error, "told": is_told})
        if words is not None and is_told:
            self.tell(question, error, words)

    def _told(self, task: asyncio.Task[None]) -> None:
        self._notices.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a notice could not be sent", exc_info=error)

    def _on_came(self, participant: rtc.RemoteParticipant) -> None:
        self._somebody_came.set()

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        for task, identity in list(self._reading.items()):
            if identity == participant.identity:
                task.cancel()
        lost = self._queue.drop(participant.identity)
        self.dropped += lost
        if lost:
            logger.info("a person left while their questions were waiting", extra={"dropped": lost})


async def _read(reader: rtc.TextStreamReader) -> str | None:
    """Return the text of a stream, or None if it is too long."""
    text = ""
    async for piece in reader:
        text += piece
        if len(text) > MAX_CHARS:
            return None
    return text
