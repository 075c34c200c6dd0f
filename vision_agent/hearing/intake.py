"""``Intake``: takes what people type on ``lk.chat`` into a queue, or tells them why not."""

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
"""How long the room may take to say who sent a question, in seconds."""
MAX_NOTICES = 64
"""Most notices that are on their way at once; beyond, a refusal is counted and logged only."""

logger = logging.getLogger(__name__)


def address_of(question: Question) -> Mapping[str, str]:
    """Return the attributes that say which question an answer or a notice is about."""
    return {ASKED_BY: question.asked_by, QUESTION: question.id}


class Intake:
    """Reads questions, checks who asks and how much, and queues them.

    Args:
        room: The room, connected or not.
        listening: Who is heard; not ``linked``, where LiveKit reads the questions itself.
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
        """Set when a question may be ready to be taken from the queue; whoever takes them clears it."""
        self.asked = self.refused = self.dropped = 0

    def start(self) -> None:
        """Begin to take questions; may be called again, to take back a topic that another one took."""
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
        """Drop all questions that wait or arrive; return how many."""
        for task in self._reading:
            task.cancel()
        lost = self._queue.clear()
        self.dropped += lost
        return lost

    async def aclose(self) -> None:
        """Take no more questions, drop those that wait; may be called twice.

        A handler of the topic that was replaced is put back, unless the topic has been taken since.
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
        if question.text is None and self._queue.remove(question):  # it was empty, or is no longer wanted
            self.dropped += task.cancelled()
        self.arrived.set()  # behind a question that was not taken another one may wait
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a question could not be taken", exc_info=error)

    async def _take(self, question: Question, reader: rtc.TextStreamReader) -> None:
        try:
            text = await within(ARRIVES_WITHIN_S, _read(reader))
            sender = await within(KNOWN_WITHIN_S, self._known(question.asked_by))
        except asyncio.TimeoutError:
            self._refuse(question, "broken", "Your question did not arrive whole. Please ask again.")
        except rtc.StreamError:
            self.dropped += self._queue.remove(question)
            logger.info("a question broke off")
        else:
            if not self._listening.hears(sender):
                self._do_not_hear(question, sender)
            elif text is None:
                self._refuse(question, "long", f"Your question is longer than {MAX_CHARS} characters.")
            elif text.strip():
                question.text = text
                self.asked += 1

    async def _known(self, identity: str) -> rtc.RemoteParticipant:
        """Wait for the room to say who somebody is: their text may come first."""
        while (sender := self._room.remote_participants.get(identity)) is None:
            self._somebody_came.clear()
            await self._somebody_came.wait()
        return sender

    def _do_not_hear(self, question: Question, sender: rtc.RemoteParticipant) -> None:
        words = "I do not listen to you in this room: I was told whom to listen to."
        self._refuse(question, "not_heard", words if is_person(sender) else None)

    def _refuse(self, question: Question, error: str, words: str | None) -> None:
        """Count a question that is not taken; without words its sender, a machine, isn't told."""
        self._queue.remove(question)
        self.refused += 1
        is_told = words is not None and len(self._notices) < MAX_NOTICES
        level = logging.DEBUG if self._notices else logging.INFO  # a flood is one line
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
            logger.info("a person left whose questions were waiting", extra={"dropped": lost})


async def _read(reader: rtc.TextStreamReader) -> str | None:
    """Return the text of a stream; None if it is too long."""
    text = ""
    async for piece in reader:
        text += piece
        if len(text) > MAX_CHARS:
            return None
    return text
