"""What FFmpeg is to open, and what it is as far as reading it goes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Kind(enum.Enum):
    """What an input is, as far as reading it goes."""

    CAMERA = "camera"
    """A device on this machine: live."""
    STREAM = "stream"
    """A server that sends live."""
    WEB = "web"
    """A web address: live, or a recording; known once it is open."""
    FILE = "file"
    """A recording, played at real speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What FFmpeg is to open."""

    url: str = field(repr=False)
    """The address, with user name and password."""
    shown: str
    """The address as it may be shown."""
    kind: Kind
    """What it is."""
    format: str | None = None
    """FFmpeg's name of the format, or None to find it out."""
    options: Mapping[str, str] = field(default_factory=dict)
    """FFmpeg's options."""
    loop: bool = False
    """Whether a recording begins again at its end."""
    open_timeout_s: float = 10.0
    """Longest wait for a server to answer, in seconds."""
    read_timeout_s: float = 5.0
    """Longest wait for the next data from a server, in seconds."""
