"""Pictures that people send: byte streams on the topic ``images``, each answered on ``images.result``."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from livekit import rtc

from .decoding.decoder import IDLE_S, Decoder
from .decoding.messages import DecodeOptions
from .decoding.turns import Turns
from .errors import ImageError, check_range
from .imaging.jpeg import DEFAULT_MAX_SIDE_PX, DEFAULT_QUALITY, EncodedImage
from .waiting import ended, within

logger = logging.getLogger(__name__)

TOPIC = "images"
RESULT_TOPIC = "images.result"
"""Text stream back to the sender: JSON ``{"stream_id", "name", "accepted", "reason"}``."""
CAPTION_ATTRIBUTE = "caption"
MAX_CAPTION_CHARS = 1000
"""We keep at most this many characters of a caption."""
ANSWERS_S = 1.0
"""Longest time that the last answers may take when the agent leaves, in seconds."""
LEAVING = "the agent left before it had read the picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """Which files we accept, and what they may cost."""

    max_bytes: int = 10_000_000
    """Most bytes of a file, declared or received."""
    max_pixels: int = 50_000_000
    """Most pixels that a file may declare."""
    timeout_s: float = 30.0
    """Longest time that a file may take to arrive, in seconds."""
    max_in_flight: int = 4
    """Most files in flight from one participant: arriving, waiting to be decoded, or being decoded."""
    max_in_flight_total: int = 16
    """Most files in flight from all participants together."""
    max_decode_s: float = 10.0
    """Most CPU time that one file may take to decode, in seconds."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: Names the setting, the value and the range.
        """
        check_range("max_bytes", self.max_bytes, 1_000, 1_000_000_000, "bytes")
        check_range("max_pixels", self.max_pixels, 1_000, 1_000_000_000, "pixels")
        check_range("timeout_s", self.timeout_s, 0.1, 3600, "seconds")
        check_range("max_in_flight", self.max_in_flight, 1, 100, "files")
        check_range("max_in_flight_total", self.max_in_flight_total, 1, 1000, "files")
        check_range("max_decode_s", self.max_decode_s, 0.1, 3600, "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStatistics:
    """What happened to the files that people sent."""

    received: int = 0
    """Files that people began to send."""
    accepted: int = 0
    """Files that became a picture."""
    refused: int = 0
    """Files that we refused; the sender got the reason."""
    killed: int = 0
    """Files during which the decoder process ended: at a limit, because the sender left, or in a crash."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Upload:
    """One file that a participant sends."""

    reader: rtc.ByteStreamReader
    identity: str
    in_flight: bool = False


class Uploads:
    """Receives pictures from a room.

    Files may arrive at the same time. A separate process decodes them one at a time. The senders take
    turns, so that nobody waits for more than one file of each other sender.

    Args:
        room: The room.
        accept: Called with each good picture, its caption and the sender's identity, one at a time. It
            may raise ``ImageError``: the sender then gets its text as the reason.
        limits: Which files we accept.
        max_side_px: Longest side of an accepted picture, in pixels.
        quality: JPEG quality of an accepted picture, 1-100.
        may_send: Returns whether the participant with this identity may send; None: everybody may.
        decoder_idle_s: How long the decoder process waits for the next picture, in seconds.
    """

    def __init__(
        self,
        room: rtc.Room,
        *,
        accept: Callable[[EncodedImage, str, str], Awaitable[None]],
        limits: UploadLimits | None = None,
        max_side_px: int = DEFAULT_MAX_SIDE_PX,
        quality: int = DEFAULT_QUALITY,
        may_send: Callable[[str], bool] | None = None,
        decoder_idle_s: float = IDLE_S,
    ) -> None:
        self._room = room
        self._accept = accept
        self._limits = limits or UploadLimits()
        self._may_send = may_send
        self._closed = False
        self._received = self._accepted = self._refused = 0
        self._uploads: dict[asyncio.Task[None], _Upload] = {}
        self._handing_over = asyncio.Lock()
        self._turns = Turns()
        options = DecodeOptions(
            max_side_px=max_side_px,
            max_pixels=self._limits.max_pixels,
            quality=quality,
            max_cpu_s=self._limits.max_decode_s,
        )
        self._decoder = Decoder(options, idle_s=decoder_idle_s)

    @property
    def statistics(self) -> UploadStatistics:
        """What has happened to the files so far."""
        return UploadStatistics(
            received=self._received,
            accepted=self._accepted,
            refused=self._refused,
            killed=self._decoder.killed,
        )

    def start(self) -> None:
        """Start receiving."""
        self._room.register_byte_stream_handler(TOPIC, self._on_stream)
        self._room.on("participant_disconnected", self._on_left)

    async def aclose(self) -> None:
        """Stop receiving; refuse the files in flight and tell their senders; safe to call twice."""
        self._closed = True
        self._room.unregister_byte_stream_handler(TOPIC)
        self._room.off("participant_disconnected", self._on_left)
        in_flight = {task: upload for task, upload in self._uploads.items() if upload.in_flight}
        await ended(*in_flight)
        await self._decoder.aclose()
        for task, upload in in_flight.items():
            if task.cancelled():
                self._begin(self._answer(upload, LEAVING), upload)
        if self._uploads:
            await asyncio.wait(self._uploads, timeout=ANSWERS_S)
        await ended(*self._uploads)

    def _on_stream(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        self._received += 1
        upload = _Upload(reader=reader, identity=identity)
        self._begin(self._handle(upload), upload)

    def _begin(self, work: Coroutine[Any, Any, None], upload: _Upload) -> None:
        task = asyncio.create_task(work, name=f"upload of {upload.identity}")
        self._uploads[task] = upload
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._uploads.pop(task).reader.close()  # also if the task was cancelled before it started
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the answer to an upload could not be sent", exc_info=error)

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        for task, upload in list(self._uploads.items()):
            if upload.identity == participant.identity:
                task.cancel()

    async def _handle(self, upload: _Upload) -> None:
        reason = None
        try:
            self._admit(upload)
            await self._take(upload)
        except ImageError as error:
            reason = str(error)
        except Exception as error:  # whatever it is, the sender gets an answer
            logger.error("an upload failed", exc_info=error)
            reason = "the agent could not process the picture; its log says why"
        finally:
            upload.in_flight = False  # before the answer: a sender who has it may send the next file
            upload.reader.close()
        await self._answer(upload, reason)

    def _admit(self, upload: _Upload) -> None:
        if self._closed:
            raise ImageError(LEAVING)
        if self._may_send is not None and not self._may_send(upload.identity):
            raise ImageError("you may not send pictures to this agent")
        most, most_total = self._limits.max_in_flight, self._limits.max_in_flight_total
        in_flight = [each.identity for each in self._uploads.values() if each.in_flight]
        if in_flight.count(upload.identity) >= most:
            raise ImageError(f"too many uploads at once: at most {most} from one participant")
        if len(in_flight) >= most_total:
            raise ImageError(f"too many uploads at once: at most {most_total} from all participants together")
        upload.in_flight = True

    async def _take(self, upload: _Upload) -> None:
        reader, identity = upload.reader, upload.identity
        try:
            data = await within(self._limits.timeout_s, self._read(reader))
        except asyncio.TimeoutError as error:
            raise ImageError(f"it did not arrive within {self._limits.timeout_s:g} s") from error
        except rtc.StreamError as error:
            raise ImageError("the stream was interrupted") from error
        async with self._turns.turn(identity):
            image = await self._decoder.decode(data)
        caption = (reader.info.attributes or {}).get(CAPTION_ATTRIBUTE, "")[:MAX_CAPTION_CHARS]
        async with self._handing_over:
            await self._accept(image, caption, identity)

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

    async def _answer(self, upload: _Upload, reason: str | None) -> None:
        accepted, info = reason is None, upload.reader.info
        self._accepted += accepted
        self._refused += not accepted
        logger.info("upload answered", extra={"accepted": accepted})
        result = {"stream_id": info.stream_id, "name": info.name, "accepted": accepted}
        if reason is not None:
            result["reason"] = reason
        with suppress(ConnectionError):  # the sender or the room is gone: nobody needs the answer
            await self._room.local_participant.send_text(
                json.dumps(result), topic=RESULT_TOPIC, destination_identities=[upload.identity]
            )
