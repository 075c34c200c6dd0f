"""The decoder process: reads files from standard input, writes pictures to standard output.

It ends when its standard input does, when its parent does, and when a picture takes too much CPU time.
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
    """Answer one request after the other until there are no more."""
    # a terminal or supervisor sends these to every process: it is for the parent to say whether this one ends
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _end_with_parent()
    requests, replies = sys.stdin.buffer, _take_stdout()
    replies.write(READY)
    while _answer(requests, replies):
        pass


def _end_with_parent() -> None:
    """End when the parent does, also amid a picture; and before the parent, if memory runs out."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):  # /proc may be out of reach: then the kernel chooses by size alone
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _take_stdout() -> BinaryIO:
    """Keep standard output for replies: whatever else a library prints goes to standard error."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def _answer(requests: BinaryIO, replies: BinaryIO) -> bool:
    """Decode one picture; False when none came."""
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
    """End this process by SIGPROF after so much CPU time; 0: never. Windows knows no such limit."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)
