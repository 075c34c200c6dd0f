"""``Telling``: lines that tell a model the state of each view."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ..backoff import Backoff
from ..waiting import either, within

logger = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.5, 10.0
TELL_S = 15.0
"""Longest time that one line may take to reach the model, in seconds."""

Tell = Callable[[str], Awaitable[None]]


class Telling:
    """Keeps a model informed about the state of each subject; a line that fails is sent again.

    If the state changes before a line has reached the model, the model reads only the newest state.

    Args:
        tell: Takes a line for the model to read.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._states: dict[str, tuple[str, str]] = {}  # by subject: its state, and the line about it
        self._known: dict[str, str | None] = {}  # by subject: the state that the model knows; None: uncertain
        self._changed = asyncio.Event()
        self._failures: set[str] = set()

    def say(self, subject: str, state: str, line: str) -> None:
        """Note the state of a subject; returns at once.

        Args:
            subject: What the line is about, such as a view's name.
            state: A short key of the state; empty is the state at the start. The model reads each state once.
            line: The line for the model; empty: the model need not know this state.
        """
        if self._states.get(subject, ("", ""))[0] != state:
            self._states[subject] = state, line
            self._changed.set()

    def forget(self, subject: str) -> None:
        """Send no more lines about a subject."""
        self._states.pop(subject, None)
        self._known.pop(subject, None)

    async def run(self) -> None:
        """Send a line for each change, until cancelled."""
        retry = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        while True:
            self._changed.clear()
            news = [each for each, (state, _) in self._states.items() if self._known.get(each, "") != state]
            told = [await self._told(subject) for subject in news]
            if not all(told):
                await either(self._changed, timeout_s=retry.next_s())
            elif not self._changed.is_set():
                retry.reset()
                await self._changed.wait()

    async def _told(self, subject: str) -> bool:
        if subject not in self._states:
            return True
        state, line = self._states[subject]
        if not line:
            self._known[subject] = state
            return True
        self._known[subject] = None  # even a line that fails may have reached the model
        try:
            await within(TELL_S, self._line(line))
        except Exception as error:  # any plugin may raise anything, and the lines must go on
            kind = type(error).__name__
            level = logging.DEBUG if kind in self._failures else logging.WARNING
            self._failures.add(kind)
            about = {"subject": subject, "reason": kind}
            logger.log(level, "a line did not reach the model, trying again", extra=about, exc_info=error)
            return False
        if subject in self._known:
            self._known[subject] = state
        return True

    async def _line(self, line: str) -> None:
        await self._tell(line)
