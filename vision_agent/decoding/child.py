"""The decoder process: reads files from standard input, writes pictures to standard output.

It ends when its standard input is closed, when its parent ends, or when a picture takes too much CPU time.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import ImageError
from ..imaging.files import read_picture
from ..imaging.jpeg import EncodedImage
from .messages import READY, DecodeOptions, pack_reply, read_request

PR_SET_PDEATHSIG = 1
"""The option of ``prctl`` that names the signal sent when the parent ends (linux/prctl.h)."""


def main() -> None:
    """Answer one request after the other, until there are no more."""
    # a terminal or a supervisor sends these signals to every process; the parent decides when this one ends
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _end_with_parent()
    requests, replies = sys.stdin.buffer, _take_stdout()
    replies.write(READY)
    while _answer(requests, replies):
        pass


def _end_with_parent() -> None:
    """End when the parent ends, even while decoding; if memory runs out, end before the parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):  # without access to /proc the kernel chooses by size alone
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _take_stdout() -> BinaryIO:
    """Reserve standard output for replies: everything that a library prints goes to standard error."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def _answer(requests: BinaryIO, replies: BinaryIO) -> bool:
    """Decode one picture; return False if there is none."""
    request = read_request(requests)
    if request is None:
        return False
    replies.write(pack_reply(_decode(*request)))
    return True


def _decode(data: bytes, options: DecodeOptions) -> EncodedImage | ImageError:
    _limit_cpu(options.max_cpu_s)
    try:
        return read_picture(
            data,
            max_side_px=options.max_side_px,
            max_pixels=options.max_pixels,
            quality=options.quality,
        )
    except ImageError as error:
        return error
    finally:
        _limit_cpu(0)


def _limit_cpu(seconds: float) -> None:
    """End this process with SIGPROF after this CPU time; 0: no limit. Windows has no such limit."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)
