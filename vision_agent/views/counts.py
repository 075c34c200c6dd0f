"""Counts of a view's frames."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class WatcherCounts:
    """Counts since the start."""

    received: int = 0
    """Frames the source gave."""
    used: int = 0
    """Frames that were handed to a turn."""
    dropped: int = 0
    """Frames replaced by a newer one before anybody looked."""
    bad: int = 0
    """Frames that could not be made into a picture and were skipped."""
    failures: int = 0
    """Times the source failed and was tried again."""
