"""The thread that reads one input: opens it, keeps its pace, hands the newest frame over."""

from __future__ import annotations

import errno
import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import av
from av.video.stream import VideoStream

from ..demand import Demand
from ..errors import SourceError
from ..frame import Frame
from .clock import Arrivals, Pace
from .decoding import OpenDecoder, PacketDecoder, PictureDecoder
from .faults import explain
from .input import Input, Kind

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

IDLE_WAKE_S = 0.1
"""While idle a recording is read this often, up to the present, in seconds."""
# a title that is not UTF-8 is no reason not to look; PyAV 19 is never strict
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStatistics:
    """Counts since the thread was started."""

    opened: int
    """Times the input was opened."""
    demuxed: int
    """Packets read."""
    decoded: int
    """Pictures decoded."""
    corrupt: int
    """Packets and pictures that were broken and left out."""
    dropped: int
    """Frames replaced by a newer one before the loop took them."""


class Reader:
    """Reads an input in a thread of its own, which is needed because FFmpeg blocks.

    Args:
        source: What to open.
        name: The view's name.
        demand: How much to spend at first.
        on_news: Called in the thread when there is a frame or the end to be taken.
        decoder: What is made of the packets of a stream, once it is open.
    """

    def __init__(
        self,
        source: Input,
        *,
        name: str,
        demand: Demand,
        on_news: Callable[[], None],
        decoder: OpenDecoder = PictureDecoder,
    ) -> None:
        self._input = source
        self._name = name
        self._demand = demand
        self._on_news = on_news
        self._changed = threading.Condition()
        self._stopping = False
        self._slot: Frame | None = None
        self._open_decoder = decoder
        self._decoder: PacketDecoder | None = None
        self._size_wh: tuple[int, int] | None = None
        self._opened = self._demuxed = self._decoded = self._corrupt = self._dropped = 0
        self.finished = False
        """Whether the thread has let go of everything."""
        self.error: SourceError | None = None
        """Why it finished; None if the recording came to its end, or ``stop`` was called."""
        self._thread = threading.Thread(target=self._run, name=f"reader of {name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Tell the thread to end; it does so after the packet it is waiting for, or its time-out."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def set_demand(self, demand: Demand) -> None:
        """Spend as much as this from now on."""
        with self._changed:
            self._demand = demand
            self._changed.notify()

    def take(self) -> Frame | None:
        """Take the newest frame, if there is one."""
        with self._changed:
            frame, self._slot = self._slot, None
        return frame

    @property
    def full_size_wh(self) -> tuple[int, int] | None:
        """Width and height in pixels, once known."""
        decoder = self._decoder
        return (decoder.full_size_wh if decoder is not None else None) or self._size_wh

    @property
    def statistics(self) -> ReaderStatistics:
        """Counts since the thread was started."""
        decoder = self._decoder
        return ReaderStatistics(
            opened=self._opened,
            demuxed=self._demuxed,
            decoded=self._decoded + (decoder.decoded if decoder else 0),
            corrupt=self._corrupt + (decoder.corrupt if decoder else 0),
            dropped=self._dropped,
        )

    def _run(self) -> None:
        try:
            while self._wait_for_demand():
                with self._open() as container:
                    again = self._play(container)
                if not again:
                    break
        except SourceError as error:
            self.error = error
        except Exception as error:  # nobody waits for a thread: what it did not expect is told too
            kind, where = type(error).__name__, traceback.format_tb(error.__traceback__)
            # without the error's own text, which may hold a password
            logger.error("reader broke off: %s\n%s", kind, "".join(where), extra={"source": self._name})
            self.error = SourceError(f"{self._input.shown}: the reader broke off: {kind}")
        finally:
            self.finished = True
            self._on_news()

    def _wait_for_demand(self) -> bool:
        with self._changed:
            while self._demand is Demand.OFF and not self._stopping:
                self._changed.wait()
            return not self._stopping

    def _open(self) -> InputContainer:
        source, is_local = self._input, self._input.kind in (Kind.FILE, Kind.CAMERA)
        self._opened += 1
        started_s = time.monotonic()
        try:
            container: InputContainer = av.open(
                source.url,
                "r",
                format=source.format,
                options=dict(source.options),
                timeout=None if is_local else (source.open_timeout_s, source.read_timeout_s),
                **_LENIENT,
            )
            return container
        except av.FFmpegError as error:
            wait_s = source.open_timeout_s
            timed_out = not is_local and time.monotonic() - started_s >= wait_s  # which has many names
            fault = av.error.TimeoutError(errno.ETIMEDOUT, "") if timed_out else error
            raise self._explained(fault, wait_s) from None  # its text holds the password

    def _play(self, container: InputContainer) -> bool:
        """Read until the end; return whether to open again."""
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.codec_context is None:
            raise SourceError(f"{self._input.shown}: no video in it that can be decoded")
        logger.info("source opened", extra={"source": self._name, "codec": stream.codec_context.name})
        try:
            if self._is_recording(container):
                return self._play_recording(container, stream)
            return self._read_live(container, stream)
        except av.FFmpegError as error:
            raise self._explained(error, self._input.read_timeout_s) from None  # as above
        finally:
            self._keep_counts()

    def _is_recording(self, container: InputContainer) -> bool:
        if self._input.kind is Kind.WEB:
            # a playlist comes in pieces of several seconds: to be spread over time even if it is live
            return "hls" in container.format.name or container.duration is not None
        return self._input.kind is Kind.FILE

    def _read_live(self, container: InputContainer, stream: VideoStream) -> bool:
        arrivals, now_s = Arrivals(), time.monotonic
        # FFmpeg counts the pictures of a multipart answer at 25 per second, whatever their rate is
        has_stamps = container.format.name != "mpjpeg"
        decoder = self._decoder = self._open_decoder(
            stream,
            source=self._name,
            captured_s=lambda stamp_s: arrivals.captured_s(stamp_s if has_stamps else None, now_s()),
        )
        for packet in container.demux(stream):
            demand = self._demand
            if self._stopping or demand is Demand.OFF:
                return True
            if packet.size:
                self._demuxed += 1
                arrivals.note(decoder.seconds(packet.pts), now_s())
                self._offer(decoder.feed(packet, demand, now_s()))
        raise SourceError(f"{self._input.shown}: the stream ended")

    def _play_recording(self, container: InputContainer, stream: VideoStream) -> bool:
        pace = Pace()
        is_live = container.duration is None and self._input.kind is Kind.WEB
        captured_s = partial(_shown_s, pace)
        while True:
            decoder = self._decoder = self._open_decoder(stream, source=self._name, captured_s=captured_s)
            packets = 0
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                stamp = packet.dts if packet.dts is not None else packet.pts
                if not self._wait_until(pace.due_s(decoder.seconds(stamp), time.monotonic()), decoder):
                    return False
                packets += 1
                self._demuxed += 1
                self._offer(decoder.feed(packet, self._demand, time.monotonic()))
            if is_live:
                raise SourceError(f"{self._input.shown}: the stream ended")
            if not packets:
                raise SourceError(f"{self._input.shown}: no pictures in it")
            self._offer(decoder.end(self._demand))
            if not self._input.loop:
                return False
            self._keep_counts()
            pace.restart()
            container.seek(container.start_time or 0)

    def _wait_until(self, due_s: float, decoder: PacketDecoder) -> bool:
        """Wait for a packet's time, and while nobody needs the view; return whether to go on."""
        woke_s = time.monotonic()
        while True:
            with self._changed:
                if self._stopping:
                    return False
                now_s = time.monotonic()
                if self._demand is Demand.OFF:
                    self._changed.wait()
                    continue
                if now_s >= due_s:
                    return True
                if self._demand is Demand.IDLE:
                    self._changed.wait(max(due_s, woke_s + IDLE_WAKE_S) - now_s)
                    continue
                if not decoder.behind:
                    self._changed.wait(due_s - now_s)
                    continue
            self._offer(decoder.catch_up())

    def _offer(self, frame: Frame | None) -> None:
        if frame is None:
            return
        with self._changed:
            is_news = self._slot is None
            self._slot = frame
        if is_news:
            self._on_news()
        else:
            self._dropped += 1

    def _keep_counts(self) -> None:
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            self._size_wh = decoder.full_size_wh
            self._decoded += decoder.decoded
            self._corrupt += decoder.corrupt

    def _explained(self, error: av.FFmpegError, timeout_s: float) -> SourceError:
        is_device = self._input.kind is Kind.CAMERA
        return explain(error, shown=self._input.shown, timeout_s=timeout_s, is_device=is_device)


def _shown_s(pace: Pace, stamp_s: float | None) -> float:
    return pace.shown_s(stamp_s, time.monotonic())
