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
    """Where the agent's pictures go."""

    async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
        """Hand over one picture, named without a suffix, with what is to be known of it."""


class RoomOutput:
    """Sends each picture to a room's participants.

    Args:
        room: The room.
        identities: Who gets them; everybody if empty.
    """

    def __init__(self, room: rtc.Room, *, identities: Sequence[str] = ()) -> None:
        self._room = room
        self._identities = list(identities)

    async def send(self, image: EncodedImage, *, name: str, attributes: Mapping[str, str]) -> None:
        """Send one picture with ``send_file``; the file it needs is gone when this returns.

        Raises:
            livekit.rtc.StreamError: The stream broke off.
        """
        folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="vision-agent-")
        try:
            path = Path(folder.name) / f"{name}.{image.mime_type.partition('/')[2]}"
            await asyncio.to_thread(path.write_bytes, image.data)
            await self._room.local_participant.send_file(
                str(path),
                topic=TOPIC,
                attributes=dict(attributes),
                destination_identities=self._identities,
                compress=False,  # a JPEG doesn't get smaller
            )
        finally:
            await asyncio.to_thread(folder.cleanup)
