"""``FairQueue``: waiting questions; the people who ask take turns. Pure: it knows no room and no loop."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count

MAX_OF_ONE = 8
"""Most waiting questions of one person."""
MAX_IN_ALL = 64
"""Most waiting questions of all persons together."""


@dataclass(slots=True, kw_only=True, eq=False)
class Question:
    """A typed question."""

    id: str
    """Id of its text stream."""
    asked_by: str
    """Identity of the person who asked."""
    text: str | None = None
    """The question; None while it is still arriving."""


@dataclass(slots=True, eq=False)
class _Person:
    served: int
    questions: deque[Question] = field(default_factory=deque)


class FairQueue:
    """Each person's questions keep their order; the person whose last turn is longest ago comes first.

    Args:
        max_of_one: Most waiting questions of one person.
        max_in_all: Most waiting questions of all persons together.
    """

    def __init__(self, *, max_of_one: int = MAX_OF_ONE, max_in_all: int = MAX_IN_ALL) -> None:
        self._max_of_one, self._max_in_all = max_of_one, max_in_all
        self._persons: dict[str, _Person] = {}
        self._count = count(1)

    def __len__(self) -> int:
        """Return the number of waiting questions."""
        return sum(len(person.questions) for person in self._persons.values())

    def put(self, question: Question) -> str | None:
        """Add a question, or return why there is no room for it."""
        person = self._persons.get(question.asked_by)
        if person is not None and len(person.questions) >= self._max_of_one:
            return f"{self._max_of_one} of your questions are waiting"
        if len(self) >= self._max_in_all:
            return f"{self._max_in_all} questions are waiting"
        if person is None:
            person = self._persons[question.asked_by] = _Person(served=0)
        person.questions.append(question)
        return None

    def take(self) -> Question | None:
        """Take the next question that has arrived completely; None if there is none."""
        ready = [
            person
            for person in self._persons.values()
            if person.questions and person.questions[0].text is not None
        ]
        if not ready:
            return None
        person = min(ready, key=lambda each: each.served)  # no turn yet, or longest ago
        person.served = next(self._count)
        return person.questions.popleft()

    def remove(self, question: Question) -> bool:
        """Remove one question, wherever it is in the queue; return whether it was there."""
        person = self._persons.get(question.asked_by)
        if person is None or question not in person.questions:
            return False
        person.questions.remove(question)
        return True

    def drop(self, identity: str) -> int:
        """Remove a person; return how many of their questions are lost."""
        person = self._persons.pop(identity, None)
        return 0 if person is None else len(person.questions)

    def clear(self) -> int:
        """Remove everybody; return how many questions are lost."""
        lost = len(self)
        self._persons.clear()
        return lost
