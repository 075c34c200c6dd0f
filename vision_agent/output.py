"""Pictures out: files on byte-stream topic ``agent-images``."""

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
    """Where the agent's pictures go: the room, a folder, or a place of yours."""

    async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
        """Hand over one picture, named without a suffix, with what is to be known of it."""


class RoomOutput:
    """Sends each picture to the person who asked for it.

    Args:
        room: The room.
        identities: Who gets them instead, if not empty.
        everybody: Whether all participants get them instead.
    """

    def __init__(self, room: rtc.Room, *, identities: Sequence[str] = (), everybody: bool = False) -> None:
        self._room = room
        self._identities = list(identities)
        self._everybody = everybody

    async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
        """Send one picture with ``send_file``; the file it needs is gone when this returns.

        Args:
            image: The picture.
            name: The file's name without a suffix.
            attributes: What is to be known of it. ``asked_by`` is who gets it; where that is empty, nobody
                knows who asked, and everybody gets it.

        Raises:
            livekit.rtc.StreamError: The stream broke off.
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
