"""Pictures people send: byte streams on topic ``images``, each one answered on ``images.result``."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from livekit import rtc

from .errors import ImageError, check_range
from .imaging.files import read_picture
from .imaging.jpeg import EncodedImage
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
    """Most files that may be under way at once: arriving, or waiting to be decoded."""

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
        accept: Called with each good picture and its caption, one at a time.
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
        self._in_flight: dict[rtc.ByteStreamReader, str] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._handing_over = asyncio.Lock()
        # One thread: a picture is decoded when the one before it is, even if nobody waits for that any more.
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="upload decoder")

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
        await asyncio.to_thread(self._decoder.shutdown, cancel_futures=True)  # waits for a decode that runs

    def _on_stream(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        refused = list(self._in_flight.values()).count(identity) >= self._limits.max_in_flight
        if not refused:
            self._in_flight[reader] = identity
        task = asyncio.create_task(self._handle(reader, identity, refused), name=f"upload of {identity}")
        self._tasks[task] = identity
        task.add_done_callback(partial(self._ended, reader))

    def _ended(self, reader: rtc.ByteStreamReader, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._let_go(reader)  # a task that is cancelled before it begins has not done it
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("an upload could not be answered", exc_info=error)

    def _let_go(self, reader: rtc.ByteStreamReader) -> None:
        reader.close()
        self._in_flight.pop(reader, None)

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        for task, identity in list(self._tasks.items()):
            if identity == participant.identity:
                task.cancel()

    async def _handle(self, reader: rtc.ByteStreamReader, identity: str, refused: bool) -> None:
        reason = None
        try:
            if refused:
                raise ImageError(f"too many uploads at once: at most {self._limits.max_in_flight}")
            await self._take(reader)
        except ImageError as error:
            reason = str(error)
        except Exception as error:  # whatever it is, the sender is not left waiting
            logger.error("an upload failed", exc_info=error)
            reason = "the agent could not take it in; its log says why"
        finally:
            self._let_go(reader)  # before the answer: who has it may send the next one
        await self._answer(reader.info, identity, reason)

    async def _take(self, reader: rtc.ByteStreamReader) -> None:
        try:
            data = await within(self._limits.timeout_s, self._read(reader))
        except asyncio.TimeoutError as error:
            raise ImageError(f"it did not arrive within {self._limits.timeout_s:g} s") from error
        except rtc.StreamError as error:
            raise ImageError("the stream broke off") from error
        read = partial(read_picture, data, max_side_px=self._max_side_px, max_pixels=self._limits.max_pixels)
        image = await asyncio.get_running_loop().run_in_executor(self._decoder, read)
        async with self._handing_over:
            await self._accept(image, (reader.info.attributes or {}).get(CAPTION_ATTRIBUTE, ""))

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
