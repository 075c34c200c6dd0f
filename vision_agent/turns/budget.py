"""Which pictures a request holds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..record.sighting import Purpose

MAX_WAITING = 8
"""Most pictures that may wait for the next question."""
_FIRST: dict[Purpose, int] = {"tool": 0, "upload": 1, "turn": 2, "realtime": 2, "initial": 3}
"""Which picture goes first if only one fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A picture that a request could hold."""

    id: str
    """The sighting's id."""
    purpose: Purpose
    """What it is for."""
    is_current: bool
    """Whether it belongs to the current turn."""


def kept(candidates: Sequence[Candidate], *, max_images: int) -> set[str]:
    """Return the ids of the pictures that go out.

    All pictures of the turn go out, and all that were given at the start. The rest of ``max_images`` is
    for the newest pictures of earlier turns. At 1 a request has one picture in total.

    Args:
        candidates: The pictures of the context, the oldest first.
        max_images: ``VisionOptions.max_images``.
    """
    if len(candidates) <= max_images:
        return {each.id for each in candidates}
    newest_first = list(reversed(candidates))
    if max_images == 1:
        ordered = sorted(newest_first, key=lambda each: (not each.is_current, _FIRST[each.purpose]))
        given = [each for each in ordered if each.purpose == "initial"]
        others = [each for each in ordered if each.purpose != "initial"]
        current = [each for each in others if each.is_current]
        return {each.id for each in [*current, *given, *others][:1]}
    mine = {each.id for each in candidates if each.is_current or each.purpose == "initial"}
    counted = sum(each.is_current and each.purpose != "initial" for each in candidates)
    earlier = [each.id for each in newest_first if each.id not in mine]
    return mine | set(earlier[: max(0, max_images - counted)])


def room_for_views(waiting: int, *, max_images: int) -> int | None:
    """Return how many views fit into a question's request, or None for as many as the policy chooses.

    Args:
        waiting: Pictures that were sent for the question.
        max_images: ``VisionOptions.max_images``.
    """
    if max_images > 1:
        return None
    return 0 if waiting else 1


def most_waiting(max_images: int) -> int:
    """Return how many pictures may wait for the next question."""
    return 1 if max_images == 1 else MAX_WAITING
