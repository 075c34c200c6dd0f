"""Where frames come from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from ..imaging.frame import Frame
from .cameras import Camera, CameraFormat, list_cameras
from .testcard import TestcardSource
from .uri import build

__all__ = ["Camera", "CameraFormat", "FrameSource", "TestcardSource", "list_cameras", "open_source"]


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
    """Make a source of a URI. Nothing is opened before its frames are asked for.

    Args:
        uri: One of these; sizes in pixels, all parameters optional.

            - ``testcard://?size=1280x720&fps=30``
            - ``camera://0``, ``camera:///dev/video2``, ``/dev/video2`` with
              ``?size=1280x720&fps=30&format=mjpeg`` (or ``yuyv``, ``h264``); on macOS and Windows
              ``camera://`` and the camera's name
            - ``csi://0?size=1280x720&fps=30``: the Raspberry Pi's ribbon-cable camera
            - ``rtsp://user:password@host/path``, over TCP or with ``#transport=udp``; what follows the
              question mark is the camera's own, but for ``transport=tcp`` and ``transport=udp``
            - ``http://host/path``, ``https://...``: motion JPEG, HLS, or a recording (``#loop=0``)
            - a video file, ``clip.mp4`` or ``file:///home/me/clip.mp4``, at real speed, again and
              again; with ``?loop=0`` once
            - a picture, read again when it changes; or a folder, each picture for ``?interval_s=1``

    Raises:
        ConfigError: The kind is unknown, or a parameter is unknown or can't be used.
        SourceError: The file or the camera's device is not there.
    """
    return build(uri)
