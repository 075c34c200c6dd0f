"""The counts of one view, collected from its watcher, its eye and its source."""

from __future__ import annotations

from ..record.statistics import ViewStatistics
from ..sources.capture import CaptureSource
from ..sources.track import TrackSource
from .eye import Eye


def tally(eye: Eye) -> ViewStatistics:
    """Return the counts of a view since it was added."""
    counts, source = eye.watcher.statistics, eye.source
    dropped = unreadable = 0
    if isinstance(source, TrackSource):
        dropped, unreadable = source.dropped, source.bad
    elif isinstance(source, CaptureSource) and (reader := source.statistics) is not None:
        dropped, unreadable = reader.dropped, reader.corrupt
    return ViewStatistics(
        received=counts.received,
        used=counts.used,
        encoded=eye.encoded,
        replaced=counts.dropped,
        dropped=dropped,
        bad=counts.bad,
        unreadable=unreadable,
        failures=counts.failures,
    )
