"""Pictures people send: byte streams on topic ``images``, each one answered on ``images.result``."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from livekit import rtc

from .errors import ImageError, check_range
from .image import EncodedImage
from .picture import read_picture
from .waiting import within

logger = logging.getLogger(__name__)

TOPIC = "images"
RESULT_TOPIC = "images.result"
"""Text stream back to the sender: JSON ``{"stream_id", "name", "accepted", "reason"}``."""
CAPTION_ATTRIBUTE = "caption"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """What is accepted from one participant."""

    max_bytes: int = 10_000_000
    """Most bytes of a file, declared or received."""
    max_pixels: int = 50_000_000
    """Most pixels a file may declare."""
    timeout_s: float = 30.0
    """Longest time a file may take to arrive, in seconds."""
    max_in_flight: int = 4
    """Most files that may arrive at once."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: Names the setting, the value and the range.
        """
        check_range("max_bytes", self.max_bytes, 1_000, 1_000_000_000, "bytes")
        check_range("max_pixels", self.max_pixels, 1_000, 1_000_000_000, "pixels")
        check_range("timeout_s", self.timeout_s, 0.1, 3600, "seconds")
        check_range("max_in_flight", self.max_in_flight, 1, 100, "files")


class Uploads:
    """Receives pictures from a room.

    Args:
        room: The room.
        accept: Called with each good picture and its caption.
        limits: What is accepted.
        max_side_px: Longest side of an accepted picture, in pixels.
    """

    def __init__(
        self,
        room: rtc.Room,
        *,
        accept: Callable[[EncodedImage, str], Awaitable[None]],
        limits: UploadLimits | None = None,
        max_side_px: int = 768,
    ) -> None:
        self._room = room
        self._accept = accept
        self._limits = limits or UploadLimits()
        self._max_side_px = max_side_px
        self._in_flight: Counter[str] = Counter()
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._decoding = asyncio.Semaphore(1)

    def start(self) -> None:
        """Begin to receive."""
        self._room.register_byte_stream_handler(TOPIC, self._on_stream)
        self._room.on("participant_disconnected", self._on_left)

    async def aclose(self) -> None:
        """Stop receiving, end what is under way; may be called twice."""
        self._room.unregister_byte_stream_handler(TOPIC)
        self._room.off("participant_disconnected", self._on_left)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_stream(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        refused = self._in_flight[identity] >= self._limits.max_in_flight
        self._in_flight[identity] += not refused
        task = asyncio.create_task(self._handle(reader, identity, refused), name=f"upload of {identity}")
        self._tasks[task] = identity
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        for task, identity in list(self._tasks.items()):
            if identity == participant.identity:
                task.cancel()

    async def _handle(self, reader: rtc.ByteStreamReader, identity: str, refused: bool) -> None:
        reason = None
        try:
            if refused:
                raise ImageError(f"too many uploads at once: at most {self._limits.max_in_flight}")
            data = await within(self._limits.timeout_s, self._read(reader))
            async with self._decoding:  # one decoded picture in memory at a time
                image = await asyncio.to_thread(
                    read_picture, data, max_side_px=self._max_side_px, max_pixels=self._limits.max_pixels
                )
            await self._accept(image, (reader.info.attributes or {}).get(CAPTION_ATTRIBUTE, ""))
        except ImageError as error:
            reason = str(error)
        except asyncio.TimeoutError:
            reason = f"it did not arrive within {self._limits.timeout_s:g} s"
        except rtc.StreamError:
            reason = "the stream broke off"
        finally:
            reader.close()
            self._in_flight[identity] -= not refused
        await self._answer(reader.info, identity, reason)

    async def _read(self, reader: rtc.ByteStreamReader) -> bytes:
        limit = self._limits.max_bytes
        if (reader.info.size or 0) > limit:
            raise ImageError(f"{reader.info.size} bytes declared: at most {limit} are accepted")
        data = bytearray()
        async for chunk in reader:
            data += chunk
            if len(data) > limit:
                raise ImageError(f"more than {limit} bytes received: at most {limit} are accepted")
        return bytes(data)

    async def _answer(self, info: rtc.ByteStreamInfo, identity: str, reason: str | None) -> None:
        logger.info("upload answered", extra={"accepted": reason is None})
        result = {"stream_id": info.stream_id, "name": info.name, "accepted": reason is None}
        if reason is not None:
            result["reason"] = reason
        with suppress(ConnectionError):  # the sender or the room is gone: nobody is left to tell
            await self._room.local_participant.send_text(
                json.dumps(result), topic=RESULT_TOPIC, destination_identities=[identity]
            )
