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
        """Why no frames arrive now (``muted``, ``not published``), or None if they arrive."""

    def frames(self) -> AsyncIterator[Frame]:
        """Yield frames until the source ends for good."""

    async def aclose(self) -> None:
        """Release everything the source holds; safe to call twice."""


def open_source(uri: str) -> FrameSource:
    """Make a source from a URI. It opens nothing until somebody asks for its frames.

    Args:
        uri: One of these; sizes in pixels, all parameters optional.

            - ``testcard://?size=1280x720&fps=30``
            - ``camera://0``, ``camera:///dev/video2``, ``/dev/video2`` with
              ``?size=1280x720&fps=30&format=mjpeg`` (or ``yuyv``, ``h264``); on macOS and Windows
              ``camera://`` and the camera's name
            - ``csi://0?size=1280x720&fps=30``: the Raspberry Pi's ribbon-cable camera
            - ``rtsp://user:password@host/path``, over TCP or with ``#transport=udp``; the query belongs
              to the camera, except for ``transport=tcp`` and ``transport=udp``
            - ``http://host/path``, ``https://...``: motion JPEG, HLS, or a recording (``#loop=0``)
            - a video file, ``clip.mp4`` or ``file:///home/me/clip.mp4``, at real speed, in a loop;
              with ``?loop=0`` once
            - a picture, read again when it changes; or a folder of pictures, each shown for
              ``?interval_s=1``

    Raises:
        ConfigError: The kind is unknown, or a parameter is unknown or can't be used.
        SourceError: The file or the camera's device does not exist.
    """
    return build(uri)
