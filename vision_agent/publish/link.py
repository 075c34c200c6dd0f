"""What a route needs of the track it sends to; the track itself comes and goes with the room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..errors import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """One encoded picture, as Annex B."""

    data: bytes
    """The bytes, with parameter sets if it is a key picture."""
    size_wh: tuple[int, int]
    """Width and height in pixels."""
    is_key: bool
    """Whether it can be decoded on its own."""
    captured_s: float
    """When it was captured, in seconds of ``time.monotonic()``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What the room asked for since the last look."""

    key_asked: bool = False
    """Somebody needs a key picture: joined late, or lost one."""
    target_bps: int | None = None
    """The rate the network can take, in bits per second, if it changed."""


class EncodedLink(Protocol):
    """A published track that takes encoded pictures; used by one thread."""

    @property
    def has_company(self) -> bool:
        """Whether there is anybody in the room who could look."""

    def send(self, unit: AccessUnit) -> bool:
        """Send a picture; False if it was not taken."""

    def feedback(self) -> Feedback:
        """Take what the room asked for since the last look."""


class NotPassable(SourceError):
    """A stream WebRTC can't carry as it is; it must be decoded and encoded."""
