"""Counts of frames and pictures since the start, for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewStatistics:
    """Counts of one view's frames."""

    received: int = 0
    """Frames the source gave."""
    used: int = 0
    """Frames that a turn or a tool used."""
    encoded: int = 0
    """Frames encoded as a picture, including those encoded ahead of time."""
    replaced: int = 0
    """Frames replaced by a newer one before anybody looked."""
    dropped: int = 0
    """Frames replaced inside the source, before the watcher saw them."""
    bad: int = 0
    """Frames that could not be encoded, and were skipped."""
    unreadable: int = 0
    """Frames or packets that the source could not read, and skipped."""
    failures: int = 0
    """Times the source failed and was tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatistics:
    """What the ledger holds, and what it has released."""

    sightings: int = 0
    """Sightings noted since the start."""
    requests: int = 0
    """Requests to a model noted since the start."""
    held_pictures: int = 0
    """Pictures held now."""
    held_bytes: int = 0
    """Bytes of these pictures."""
    released_pictures: int = 0
    """Pictures that were released to stay within the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """All counts of a ``Vision``."""

    views: Mapping[str, ViewStatistics] = field(default_factory=dict)
    """By the view's name."""
    ledger: LedgerStatistics = field(default_factory=LedgerStatistics)
    """Of pictures and requests."""

    def lines(self) -> list[str]:
        """Return one line a view and one for the ledger, for a terminal or a log."""
        lines = [
            f"{name}: {view.received} frames, {view.used} used, {view.replaced + view.dropped} dropped, "
            f"{view.bad + view.unreadable} bad, {view.failures} failures"
            for name, view in self.views.items()
        ]
        held = self.ledger
        lines.append(
            f"requests: {held.requests}, sightings: {held.sightings}, pictures held: {held.held_pictures} "
            f"({held.held_bytes / 1e6:.1f} MB)"
        )
        return lines
