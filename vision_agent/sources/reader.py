"""The thread that reads one input: it opens it, keeps its pace and delivers the newest frame."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import av
from av.video.stream import VideoStream

from ..demand import Demand
from ..errors import SourceError
from ..imaging.frame import Frame
from .clock import MAX_LAG_S, Arrivals, Pace
from .container import explained, is_recording, open_container
from .decoding import OpenDecoder, PacketDecoder, PictureDecoder
from .input import Input, Kind

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

IDLE_WAKE_S = 0.1
"""While idle: how often a recording is read, and how often the loop hears about live pictures, in seconds."""


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
    """Packets and pictures that were broken and skipped."""
    dropped: int
    """Frames replaced by a newer one before the loop took them."""


class Reader:
    """Reads an input in its own thread, because FFmpeg blocks.

    Args:
        source: What to open.
        name: The view's name.
        demand: How much to spend at first.
        on_news: Called when a frame is ready or the input has ended: in the thread, or by ``set_demand``.
        decoder: Makes the decoder of the stream, once it is open.
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
        self._told_s = float("-inf")  # when ``on_news`` was last called
        self._open_decoder = decoder
        self._decoder: PacketDecoder | None = None
        self._size_wh: tuple[int, int] | None = None
        self._opened = self._demuxed = self._decoded = self._corrupt = self._dropped = 0
        self.finished = False
        """Whether the thread has released everything."""
        self.error: SourceError | None = None
        """Why it finished; None if the recording ended, or ``stop`` was called."""
        self._thread = threading.Thread(target=self._run, name=f"reader of {name}", daemon=True)

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it ends after the packet it waits for, or at its time-out."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def set_demand(self, demand: Demand) -> None:
        """Spend as much as this from now on."""
        with self._changed:
            self._demand = demand
            waits = self._slot is not None and demand is Demand.ACTIVE
            self._changed.notify()
        if waits:  # a frame came since ``on_news`` was last called
            self._on_news()

    def take(self) -> Frame | None:
        """Return the newest frame and empty the slot; None if there is none."""
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
                self._opened += 1
                with open_container(self._input) as container:
                    again = self._play(container)
                if not again:
                    break
        except SourceError as error:
            self.error = error
        except Exception as error:  # nobody awaits a thread: report unexpected errors, too
            kind, where = type(error).__name__, traceback.format_tb(error.__traceback__)
            # without the error's own text, which may hold a password
            logger.error("reader failed: %s\n%s", kind, "".join(where), extra={"source": self._name})
            self.error = SourceError(f"{self._input.shown}: the reader failed: {kind}")
        finally:
            self.finished = True
            self._on_news()

    def _wait_for_demand(self) -> bool:
        with self._changed:
            while self._demand is Demand.OFF and not self._stopping:
                self._changed.wait()
            return not self._stopping

    def _play(self, container: InputContainer) -> bool:
        """Read until the end; return whether to open again."""
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.codec_context is None:
            raise SourceError(f"{self._input.shown}: no video in it that can be decoded")
        logger.info("source opened", extra={"source": self._name, "codec": stream.codec_context.name})
        try:
            if is_recording(self._input, container):
                return self._play_recording(container, stream)
            return self._read_live(container, stream)
        except av.FFmpegError as error:
            raise explained(self._input, error, self._input.read_timeout_s) from None  # hides the password
        finally:
            self._keep_counts()

    def _read_live(self, container: InputContainer, stream: VideoStream) -> bool:
        arrivals, now_s = Arrivals(), time.monotonic
        # FFmpeg stamps the pictures of a multipart response at 25 per second, whatever their rate is
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
                due_s = pace.due_s(decoder.seconds(stamp), time.monotonic())
                is_lagging = is_live and pace.late_s > MAX_LAG_S
                if is_lagging or not self._wait_until(due_s, decoder, pauses=not is_live):
                    return is_live  # a live playlist goes on at its live end, not from where it was
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

    def _wait_until(self, due_s: float, decoder: PacketDecoder, *, pauses: bool) -> bool:
        """Wait for a packet's time; return whether to go on with it.

        At demand OFF it waits if ``pauses`` is true, and returns False otherwise.
        """
        woke_s = time.monotonic()
        while True:
            with self._changed:
                is_off = self._demand is Demand.OFF
                if self._stopping or (is_off and not pauses):
                    return False
                now_s = time.monotonic()
                if is_off:
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
        now_s = time.monotonic()
        with self._changed:
            self._dropped += self._slot is not None
            self._slot = frame
            is_news = self._demand is Demand.ACTIVE or now_s - self._told_s >= IDLE_WAKE_S
        if is_news:
            self._told_s = now_s
            self._on_news()

    def _keep_counts(self) -> None:
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            self._size_wh = decoder.full_size_wh
            self._decoded += decoder.decoded
            self._corrupt += decoder.corrupt


def _shown_s(pace: Pace, stamp_s: float | None) -> float:
    return pace.shown_s(stamp_s, time.monotonic())
