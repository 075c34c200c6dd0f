"""``Questions``: what people type in a room, answered one at a time; the people take turns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession, CloseEvent, llm
from livekit.agents.voice import SpeechHandle

from .. import livekit_compat
from ..turns.messages import EXTRA_KEY
from ..waiting import ended
from .fair_queue import FairQueue, Question
from .intake import Intake, address_of
from .listening import EVERYBODY, Listening
from .transcript import address_answers

HANDOVER_S = 0.1
"""How often we try again while a session has no agent, in seconds."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionStatistics:
    """What has happened to the questions since the start."""

    asked: int
    """Questions that arrived completely, from a person who is heard."""
    answered: int
    """Questions that the model answered."""
    failed: int
    """Questions that the model failed to answer, or answered with nothing."""
    refused: int
    """Questions that we refused: too many, too long, too slow, or from somebody who is not heard."""
    dropped: int
    """Questions lost because their sender left, their stream was interrupted or the session closed."""


class Questions:
    """Takes typed questions from a room, and asks a session for one answer after the other.

    You can start it before the room is connected and before there is a session: it keeps the questions
    until ``attach``. It never interrupts an answer. With ``Listening("linked")`` it does nothing:
    LiveKit's own handler stays in place.

    Args:
        room: The room, connected or not.
        listening: Who is heard; by default everybody except agents and devices.
        queue: Where questions wait; it limits how many.
    """

    def __init__(
        self, room: rtc.Room, *, listening: Listening = EVERYBODY, queue: FairQueue | None = None
    ) -> None:
        self._queue = FairQueue() if queue is None else queue
        self._is_off = listening.mode == "linked"
        self._intake = Intake(room, listening=listening, queue=self._queue)
        self._session: AgentSession[Any] | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._current: tuple[SpeechHandle, Question] | None = None
        self._answered = self._failed = 0

    async def __aenter__(self) -> Questions:
        """Start to take questions."""
        self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop."""
        await self.aclose()

    @property
    def statistics(self) -> QuestionStatistics:
        """The current counts."""
        return QuestionStatistics(
            asked=self._intake.asked,
            answered=self._answered,
            failed=self._failed,
            refused=self._intake.refused,
            dropped=self._intake.dropped,
        )

    def start(self) -> None:
        """Start to take questions and keep them; safe to call twice."""
        if not self._is_off:
            self._intake.start()

    def attach(self, session: AgentSession[Any]) -> None:
        """Ask this session the questions, until it closes; it must have been started in the room.

        Raises:
            RuntimeError: Another session answers the questions of this room.
        """
        if self._is_off or self._session is session:
            return
        if self._session is not None:
            raise RuntimeError("a session answers the questions of this room already: close it first")
        self.start()
        self._session = session
        session.on("close", self._on_close)
        address_answers(session, self.address)
        task = livekit_compat.session_task(self._answer_all(session), name="questions")
        self._answering.add(task)
        task.add_done_callback(self._ended)

    def address(self, speech: SpeechHandle) -> Mapping[str, str]:
        """Return the attributes that name the question of a speech; none if it answers no typed question."""
        if self._current is None or self._current[0] is not speech:
            return {}
        return address_of(self._current[1])

    async def aclose(self) -> None:
        """Take no more questions and drop those that wait; safe to call twice.

        An answer that has already started goes on.
        """
        self._detach()
        await ended(*self._answering)
        await self._intake.aclose()
        logger.info("no more questions are taken", extra=asdict(self.statistics))

    async def _answer_all(self, session: AgentSession[Any]) -> None:
        while True:
            await self._intake.arrived.wait()
            try:
                await session.wait_for_idle()
            except (livekit_compat.ActivityClosedError, RuntimeError):
                # one agent hands over to the next; or the session closes, and then this task is cancelled
                await asyncio.sleep(HANDOVER_S)
                continue
            question = self._queue.take()
            if question is None:
                self._intake.arrived.clear()
                continue
            try:
                await self._answer(session, question)
            except Exception as error:  # whatever it is, we go on with the next question
                self._failed += 1
                logger.error("a question could not be asked", exc_info=error)
                words = "I could not answer: the agent failed. Please ask again."
                self._intake.tell(question, "agent", words)

    async def _answer(self, session: AgentSession[Any], question: Question) -> None:
        message = llm.ChatMessage(
            role="user",
            content=[question.text or ""],
            extra={EXTRA_KEY: {"asked_by": question.asked_by}},
        )
        async with livekit_compat.claim_user_turn(session):
            speech = session.generate_reply(user_input=message)
        self._current = speech, question
        try:
            await speech
        except asyncio.CancelledError:  # the session closes
            self._failed += 1
            raise
        if speech.exception() is None and speech.chat_items:
            self._answered += 1
        else:
            self._failed += 1

    def _on_close(self, event: CloseEvent) -> None:
        self._detach()
        if lost := self._intake.drop():
            logger.warning("the session closed while questions were waiting", extra={"dropped": lost})

    def _detach(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.off("close", self._on_close)
        for task in self._answering:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the agent no longer answers questions", exc_info=error)
