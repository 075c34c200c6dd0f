"""What went wrong with an input, in one line that also says what to do."""

from __future__ import annotations

import errno

import av
from av.error import (
    DecoderNotFoundError,
    ExitError,
    HTTPForbiddenError,
    HTTPNotFoundError,
    HTTPUnauthorizedError,
    InvalidDataError,
    ProtocolNotFoundError,
)

from ..errors import SourceError

_BY_TYPE: tuple[tuple[type[av.FFmpegError], str], ...] = (
    (
        HTTPUnauthorizedError,
        "user name and password are missing or wrong (401): write {scheme}://user:password@host",
    ),
    (HTTPForbiddenError, "the server forbids it (403): check user name, password and path"),
    (HTTPNotFoundError, "the server has nothing there (404): check the path"),
    (ExitError, "no data came for {timeout_s:g} s: check the device, its address and the network"),
    (InvalidDataError, "not a video that can be read: check that it is one, and whole"),
    (DecoderNotFoundError, "its codec can't be decoded: set the camera to H.264, H.265 or MJPEG"),
    (ProtocolNotFoundError, "its protocol can't be read: use rtsp, http or a file"),
)
_BY_NUMBER = {
    errno.ENOENT: "not there: check the path, or plug it in",
    errno.ENODEV: "gone: plug it in again",
    errno.ENXIO: "gone: plug it in again",
    errno.EACCES: "permission denied: {permission}",
    errno.EPERM: "permission denied: {permission}",
    errno.EBUSY: "busy, another program is using it: close that one (fuser -v names it)",
    errno.EINVAL: "it can't do this size, fps or format: vision-agent doctor lists what it can",
    errno.ENOTTY: "not a camera: vision-agent doctor lists the cameras",
    errno.EISDIR: "a folder, not a video",
    errno.ECONNREFUSED: "connection refused: check that it is on, and the port",
    errno.ECONNRESET: "it closed the connection",
    errno.EPIPE: "it closed the connection",
    errno.ETIMEDOUT: "no answer within {timeout_s:g} s: check the address and the network",
    errno.EHOSTUNREACH: "its address can't be reached: check the address and the network",
    errno.ENETUNREACH: "its address can't be reached: check the address and the network",
}
_PERMISSION = {
    True: "add the user to the group video (sudo usermod -aG video $USER) and log in again",
    False: "let this user read it",
}


def explain(error: av.FFmpegError, *, shown: str, timeout_s: float, is_device: bool) -> SourceError:
    """Make one line from FFmpeg's error, without the address and its password that FFmpeg's text contains.

    Args:
        error: What PyAV raised.
        shown: The source, without secrets.
        timeout_s: How long we waited for data, in seconds.
        is_device: Whether it is a camera on this machine.
    """
    text = next((text for kind, text in _BY_TYPE if isinstance(error, kind)), None)
    text = text or _BY_NUMBER.get(error.errno or 0)
    if text is None and error.errno == errno.EIO:  # also FFmpeg's error for an unknown host name
        text = "gone: plug it in again" if is_device else "can't be reached: check the host's name"
    text = text or f"can't be read: {(error.strerror or 'unknown reason').lower()}"
    scheme = shown.partition("://")[0]
    return SourceError(
        f"{shown}: {text.format(timeout_s=timeout_s, permission=_PERMISSION[is_device], scheme=scheme)}"
    )
