"""What FFmpeg opens, and which kind of input it is."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Kind(enum.Enum):
    """Which kind of input it is: this decides how it is read."""

    CAMERA = "camera"
    """A device on this machine: live."""
    STREAM = "stream"
    """A server that sends live."""
    WEB = "web"
    """A web address: live or a recording, which is known only once it is open."""
    FILE = "file"
    """A recording, played at real speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What FFmpeg opens."""

    url: str = field(repr=False)
    """The address, with user name and password."""
    shown: str
    """The address without secrets, for messages."""
    kind: Kind
    """What it is."""
    format: str | None = None
    """FFmpeg's name of the format, or None: FFmpeg detects it."""
    options: Mapping[str, str] = field(default_factory=dict)
    """FFmpeg's options."""
    loop: bool = False
    """Whether a recording starts again at its end."""
    open_timeout_s: float = 10.0
    """Longest wait for a server to answer, in seconds."""
    read_timeout_s: float = 5.0
    """Longest wait for the next data from a server, in seconds."""
