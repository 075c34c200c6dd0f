"""What a route needs from the track it sends to; the track exists only while the room is joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..errors import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """One encoded picture, as Annex B."""

    data: bytes
    """The bytes, with parameter sets if it is a key frame."""
    size_wh: tuple[int, int]
    """Width and height in pixels."""
    is_key: bool
    """Whether it can be decoded on its own."""
    captured_s: float
    """When it was captured, in seconds of ``time.monotonic()``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What the room asked for since the last call of ``feedback``."""

    key_asked: bool = False
    """Whether a viewer needs a key frame: it joined late, or lost one."""
    target_bps: int | None = None
    """The bit rate that the network can carry, in bits per second; None if it has not changed."""


class EncodedLink(Protocol):
    """A published track that takes encoded pictures; used by one thread."""

    @property
    def has_company(self) -> bool:
        """Whether there is anybody in the room who could watch."""

    def send(self, unit: AccessUnit) -> bool:
        """Send a picture; return False if the track refused it."""

    def feedback(self) -> Feedback:
        """Return what the room asked for since the last call."""


class NotPassable(SourceError):
    """A stream that WebRTC can't carry unchanged; it must be decoded and encoded."""
