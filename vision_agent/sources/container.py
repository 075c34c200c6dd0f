"""Opens an input with FFmpeg; what goes wrong is told without the address's password."""

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

# a title that is not UTF-8 is no reason not to look; PyAV 19 is never strict
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_container(source: Input) -> InputContainer:
    """Open an input; blocks until it answers or its time is over.

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
        timed_out = not is_local and time.monotonic() - started_s >= wait_s  # which has many names
        fault = av.error.TimeoutError(errno.ETIMEDOUT, "") if timed_out else error
        raise explained(source, fault, wait_s) from None  # its text holds the password


def explained(source: Input, error: av.FFmpegError, timeout_s: float) -> SourceError:
    """Make the one line of an error that FFmpeg told; ``explain`` has more."""
    return explain(error, shown=source.shown, timeout_s=timeout_s, is_device=source.kind is Kind.CAMERA)


def is_recording(source: Input, container: InputContainer) -> bool:
    """Tell whether it is to be spread over time, as a file is that is read as fast as one likes."""
    if source.kind is Kind.WEB:
        # a playlist comes in pieces of several seconds, even if it is live
        return "hls" in container.format.name or container.duration is not None
    return source.kind is Kind.FILE
