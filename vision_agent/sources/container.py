"""Opens an input with FFmpeg; errors never contain the password of the address."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any

import av

from ..errors import SourceError
from .faults import explain
from .input import Input, Kind

if TYPE_CHECKING:
    from av.container import InputContainer

# a title that is not UTF-8 must not stop us from reading the video; PyAV 19 is never strict
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_container(source: Input) -> InputContainer:
    """Open an input; blocks until it answers or its time-out ends.

    Raises:
        SourceError: It can't be opened.
    """
    is_local = source.kind in (Kind.FILE, Kind.CAMERA)
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
        timed_out = not is_local and time.monotonic() - started_s >= wait_s  # FFmpeg has many errors for it
        fault = av.error.TimeoutError(errno.ETIMEDOUT, "") if timed_out else error
        raise explained(source, fault, wait_s) from None  # the text of its cause has the password


def explained(source: Input, error: av.FFmpegError, timeout_s: float) -> SourceError:
    """Make one line from FFmpeg's error; see ``explain``."""
    return explain(error, shown=source.shown, timeout_s=timeout_s, is_device=source.kind is Kind.CAMERA)


def is_recording(source: Input, container: InputContainer) -> bool:
    """Return whether we must pace the reading, as for a file, which FFmpeg reads as fast as it can."""
    if source.kind is Kind.WEB:
        # a playlist comes in pieces of several seconds, even if it is live
        return "hls" in container.format.name or container.duration is not None
    return source.kind is Kind.FILE
