"""Outgoing pictures: files on the byte-stream topic ``agent-images``."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from livekit import rtc

from .imaging.jpeg import EncodedImage

TOPIC = "agent-images"


class PictureOutput(Protocol):
    """Where the agent's pictures go: the room, a folder, or your own class."""

    async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
        """Deliver one picture.

        Args:
            image: The picture.
            name: A file name without a suffix.
            attributes: Facts about the picture, such as ``view``, ``time`` and ``asked_by``.
        """


class RoomOutput:
    """Sends each picture to the person who asked for it.

    Args:
        room: The room.
        identities: If not empty, these participants get the pictures instead.
        everybody: If true, all participants get them instead.
    """

    def __init__(self, room: rtc.Room, *, identities: Sequence[str] = (), everybody: bool = False) -> None:
        self._room = room
        self._identities = list(identities)
        self._everybody = everybody

    async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
        """Send one picture with ``send_file``; its temporary file is deleted when this returns.

        Args:
            image: The picture.
            name: The file's name without a suffix.
            attributes: Facts about the picture. The participant ``asked_by`` gets it; if that is empty, it
                is not known who asked, and everybody gets it.

        Raises:
            livekit.rtc.StreamError: The stream failed.
            ConnectionError: The person who asked has left.
        """
        folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="vision-agent-")
        try:
            path = Path(folder.name) / f"{name}.{image.mime_type.partition('/')[2]}"
            await asyncio.to_thread(path.write_bytes, image.data)
            await self._room.local_participant.send_file(
                str(path),
                topic=TOPIC,
                attributes=dict(attributes),
                destination_identities=self._destinations(attributes.get("asked_by", "")),
                compress=False,  # a JPEG doesn't get smaller
            )
        finally:
            await asyncio.to_thread(folder.cleanup)

    def _destinations(self, asked_by: str) -> list[str]:
        if self._everybody or self._identities:
            return self._identities
        if asked_by and asked_by not in self._room.remote_participants:
            raise ConnectionError("the person who asked has left the room")
        return [asked_by] if asked_by else []
