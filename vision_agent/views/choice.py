"""Which views a turn looks at. Pure: the state of each view is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import check_range


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewState:
    """What is known about a view before anybody looks."""

    name: str
    """The view's name."""
    owner: str
    """Identity of the participant whose view it is, or empty."""
    problem: str | None
    """Why it shows nothing, or None if it may show something."""


class ViewPolicy(Protocol):
    """Chooses the views of a turn."""

    def choose(self, views: Sequence[ViewState], *, asked_by: str) -> Sequence[str]:
        """Return the names of the views to look at, the most important first.

        Args:
            views: All views, in the order in which they came.
            asked_by: Identity of the person who asks, or empty.
        """


@dataclass(frozen=True, slots=True)
class AllViews:
    """Every view up to a limit: the asker's own first, then in the order in which they came.

    Args:
        limit: Most views that show something in one turn.

    Raises:
        ConfigError: The limit is out of range.
    """

    limit: int = 8

    def __post_init__(self) -> None:
        """Check the limit."""
        check_range("limit", self.limit, 1, 100, "views")

    def choose(self, views: Sequence[ViewState], *, asked_by: str) -> Sequence[str]:
        """Choose; a view that shows nothing costs nothing and does not count towards the limit."""
        showing = [view for view in views if view.problem is None]
        showing.sort(key=lambda view: not asked_by or view.owner != asked_by)  # stable
        silent = [view.name for view in views if view.problem is not None]
        return [*(view.name for view in showing[: self.limit]), *silent]
