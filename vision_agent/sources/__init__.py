"""Where frames come from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from ..errors import ConfigError
from ..frame import Frame
from .testcard import TestcardSource

__all__ = ["FrameSource", "TestcardSource", "open_source"]


class FrameSource(Protocol):
    """Anything that yields frames; a ``Watcher`` keeps the newest."""

    name: str
    """The view's name, as the model reads it."""

    @property
    def problem(self) -> str | None:
        """Why there are no frames now (``muted``, ``not published``), or None if they flow."""

    def frames(self) -> AsyncIterator[Frame]:
        """Yield frames until the source ends for good."""

    async def aclose(self) -> None:
        """Let go of everything held; may be called twice."""


def open_source(uri: str) -> FrameSource:
    """Open a source by its URI.

    Args:
        uri: ``testcard://``, with ``size=1280x720`` and ``fps=30`` as query parameters.

    Raises:
        ConfigError: The scheme is unknown or a parameter can't be used.
    """
    parts = urlsplit(uri)
    if parts.scheme != "testcard":
        raise ConfigError(f"source {_without_secrets(uri)!r}: unknown kind; use testcard://")
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    size, fps = query.pop("size", "1280x720"), query.pop("fps", "30")
    if query:
        raise ConfigError(f"source parameter {sorted(query)[0]!r}: testcard:// knows size and fps")
    try:
        width, height = (int(side) for side in size.lower().split("x"))
        rate = float(fps)
    except ValueError as error:
        raise ConfigError(f"testcard size {size!r}, fps {fps!r}: write size=1280x720&fps=30") from error
    return TestcardSource(size_wh=(width, height), fps=rate)


def _without_secrets(uri: str) -> str:
    parts = urlsplit(uri)
    return uri if "@" not in parts.netloc else uri.replace(parts.netloc.rpartition("@")[0], "***", 1)
