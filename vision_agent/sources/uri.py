"""From a URI to a source: which kind it is, and what its parameters mean."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from ..errors import ConfigError, SourceError
from ..redaction import is_like_address, without_secrets
from .cameras import FORMATS, RAW, Camera, choose_format, list_cameras
from .capture import CaptureSource
from .csi import CsiSource
from .input import Input, Kind
from .parameters import Parameters
from .pictures import SUFFIXES, PictureSource
from .testcard import TestcardSource

AnySource = CaptureSource | CsiSource | PictureSource | TestcardSource

KINDS = (
    "testcard://, camera://0, csi://0, rtsp://host/path, http(s)://host/path, or the path of a video, a "
    "picture or a folder of pictures"
)
_FFMPEG_PIXELS = {"mjpeg": "mjpeg", "h264": "h264", "yuyv": "yuyv422", **RAW}


def build(uri: str, *, preferred: tuple[str, ...] = FORMATS) -> AnySource:
    """Make the source of a URI; ``open_source`` documents the URIs.

    Args:
        uri: The URI.
        preferred: Pixel formats to ask a camera for, the best first.

    Raises:
        ConfigError: The kind is unknown or a parameter can't be used.
        SourceError: The file or device does not exist.
    """
    scheme, separator, rest = uri.partition("://")
    scheme = scheme.lower()
    if not separator or "/" in scheme:
        if is_like_address(uri) and not Path(uri).expanduser().exists():
            raise ConfigError(f"source {without_secrets(uri)!r}: write rtsp://user:password@host/path")
        return _device(uri, preferred) if _is_device(uri) else _path(uri)
    if scheme == "testcard":
        return _testcard(rest)
    if scheme == "camera":
        return _camera(rest, preferred)
    if scheme == "csi":
        return _csi(rest)
    if scheme == "file":
        return _file_uri(rest)
    if scheme in ("rtsp", "rtsps"):
        return _rtsp(uri)
    if scheme in ("http", "https"):
        return _web(uri)
    raise ConfigError(f"source {without_secrets(uri)!r}: unknown kind; use {KINDS}")


def _testcard(rest: str) -> TestcardSource:
    parameters = Parameters(_query(rest)[1], "testcard://", ("size", "fps"))
    size_wh, fps = parameters.size(), parameters.number("fps", 0.1, 120, "frames per second")
    return TestcardSource(size_wh=size_wh or (1280, 720), fps=30.0 if fps is None else fps)


def _camera(rest: str, preferred: tuple[str, ...]) -> CaptureSource:
    which, query = _query(rest)
    which = unquote(which)
    if sys.platform != "linux":
        return _named_camera(which, query)
    if which.isdecimal() or not which:
        which = f"/dev/video{which or 0}"
    if not which.startswith("/dev/"):
        raise ConfigError(f"camera {which!r}: write camera://0 or camera:///dev/video0")
    return _device(f"{which}?{query}", preferred)


def _device(text: str, preferred: tuple[str, ...]) -> CaptureSource:
    """Make the source of a Video4Linux device."""
    path, query = _query(text)
    parameters = Parameters(query, "camera", ("size", "fps", "format"))
    size_wh, fps = parameters.size(), parameters.number("fps", 1, 240, "frames per second")
    pixel_format = parameters.choice("format", *FORMATS)
    cameras = list_cameras()
    try:
        is_device = stat.S_ISCHR(Path(path).stat().st_mode)
    except OSError as error:
        here = ", ".join(each.path for each in cameras) or "none"
        reason = (error.strerror or "can't be read").lower()
        raise SourceError(f"camera {path}: {reason}; cameras here: {here}") from error
    if not is_device:
        raise SourceError(f"camera {path}: not a device; vision-agent doctor lists the cameras")
    camera = next((each for each in cameras if Path(each.path).samefile(path)), None)
    camera = camera or Camera(path=path, name=path, formats=())
    chosen = choose_format(camera, size_wh=size_wh, fps=fps, pixel_format=pixel_format, preferred=preferred)
    if chosen is not None:
        size_wh, pixel_format = chosen.size_wh, chosen.pixel_format
        fps = fps if fps is not None else min(30.0, chosen.max_fps or 30.0)
    options = _camera_options(size_wh, fps)
    if pixel_format is not None:
        options["input_format"] = _FFMPEG_PIXELS[pixel_format]
    source = Input(url=path, shown=f"camera {path}", kind=Kind.CAMERA, format="v4l2", options=options)
    return CaptureSource(source, name=f"camera {path.removeprefix('/dev/video')}")


def _named_camera(which: str, query: str) -> CaptureSource:
    """Make the source of a camera that macOS or Windows knows by its name."""
    parameters = Parameters(query, "camera", ("size", "fps", "format"))
    size_wh, fps = parameters.size(), parameters.number("fps", 1, 240, "frames per second")
    pixel_format = parameters.choice("format", *FORMATS)
    is_mac = sys.platform == "darwin"
    options = _camera_options(size_wh, fps or (30.0 if is_mac else None))  # macOS insists on a rate
    if is_mac and pixel_format == "yuyv":
        options["pixel_format"] = "yuyv422"
    elif not is_mac and pixel_format is not None:
        options |= {"pixel_format": "yuyv422"} if pixel_format == "yuyv" else {"vcodec": pixel_format}
    source = Input(
        url=which or "0" if is_mac else f"video={which}",
        shown=f"camera {which!r}",
        kind=Kind.CAMERA,
        format="avfoundation" if is_mac else "dshow",
        options=options,
    )
    return CaptureSource(source, name=f"camera {which}")


def _camera_options(size_wh: tuple[int, int] | None, fps: float | None) -> dict[str, str]:
    options = {}
    if size_wh is not None:
        options["video_size"] = f"{size_wh[0]}x{size_wh[1]}"
    if fps is not None:
        options["framerate"] = f"{fps:g}"
    return options


def _csi(rest: str) -> CsiSource:
    which, query = _query(rest)
    if which and not which.isdecimal():
        raise ConfigError(f"csi camera {which!r}: write csi://0")
    parameters = Parameters(query, "csi://", ("size", "fps"))
    size_wh, fps = parameters.size() or (1280, 720), parameters.number("fps", 1, 120, "frames per second")
    if size_wh[0] % 2 or size_wh[1] % 2:
        raise ConfigError(f"csi:// size {size_wh[0]}x{size_wh[1]}: both sides must be even")
    return CsiSource(int(which or 0), size_wh=size_wh, fps=fps or 30.0, name=f"csi camera {which or 0}")


def _rtsp(uri: str) -> CaptureSource:
    parts = _network_parts(uri)
    parameters = Parameters(parts.fragment, "rtsp://", ("transport",))
    transport = parameters.choice("transport", "tcp", "udp")
    query = parts.query
    if not parts.fragment:  # with a fragment the whole query belongs to the camera
        pairs = parse_qsl(query, keep_blank_values=True)
        ours = urlencode([pair for pair in pairs if pair[0] == "transport"])
        if ours:
            transport = Parameters(ours, "rtsp://", ("transport",)).choice("transport", "tcp", "udp")
            query = "&".join(each for each in query.split("&") if not each.startswith("transport="))
    source = Input(
        url=urlunsplit((parts.scheme, parts.netloc, parts.path, query, "")),
        shown=without_secrets(uri),
        kind=Kind.STREAM,
        format="rtsp",
        options={
            "rtsp_transport": transport or "tcp",
            "allowed_media_types": "video",
            "analyzeduration": "1000000",  # microseconds
            "fpsprobesize": "0",  # we don't need the frame rate: don't wait for it
        },
    )
    return CaptureSource(source, name=f"camera at {parts.hostname}")


def _web(uri: str) -> CaptureSource:
    parts = _network_parts(uri)
    parameters = Parameters(parts.fragment, f"{parts.scheme}://", ("loop",))
    is_playlist = parts.path.lower().endswith((".m3u8", ".m3u"))
    source = Input(
        url=urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, "")),
        shown=without_secrets(uri),
        kind=Kind.WEB,
        # the newest piece of a live playlist; FFmpeg would begin three pieces before it
        options={"live_start_index": "-1"} if is_playlist else {"fpsprobesize": "0"},
        loop=parameters.choice("loop", "0", "1") != "0",
        read_timeout_s=20.0 if is_playlist else 5.0,  # the next piece may be that far away
    )
    return CaptureSource(source, name=f"camera at {parts.hostname}")


def _network_parts(uri: str):  # type: ignore[no-untyped-def]  # urllib's own result type
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:  # the text of this error may contain the password
        raise ConfigError(f"source {without_secrets(uri)!r}: the host or port can't be read") from None
    if not host:
        raise ConfigError(f"source {without_secrets(uri)!r}: no host; write {parts.scheme}://host/path")
    if "@" in parts.fragment or ("@" in parts.query and not parts.path):
        way_out = "in a user name or password write %23 for # and %3F for ?"
        raise ConfigError(f"source {without_secrets(uri)!r}: {way_out}")
    return parts


def _file_uri(rest: str) -> CaptureSource | PictureSource:
    host, _, path = rest.partition("/")
    if host not in ("", "localhost"):
        shown = without_secrets(f"file://{rest}")
        raise ConfigError(f"source {shown!r}: write file:/// and the whole path")
    location, query = _query(path)
    location = unquote(location)
    return _local(Path(location if re.match(r"[A-Za-z]:", location) else f"/{location}"), query)


def _is_device(text: str) -> bool:
    """Return whether it is a device's path, such as those in ``/dev/v4l/by-id``; it need not exist yet."""
    path = _query(text)[0]
    if path.startswith(("/dev/video", "/dev/v4l/")):
        return True
    try:
        return stat.S_ISCHR(Path(path).stat().st_mode)
    except OSError:
        return False


def _path(text: str) -> CaptureSource | PictureSource:
    """Make the source of a path, also of one with a question mark in its name."""
    if not text:
        raise ConfigError(f"source '': empty; use {KINDS}")
    if Path(text).expanduser().exists():
        return _local(Path(text).expanduser(), "")
    location, query = _query(text)
    return _local(Path(location).expanduser(), query)


def _local(path: Path, query: str) -> CaptureSource | PictureSource:
    try:
        is_folder = path.is_dir()
        path.stat()
    except OSError as error:
        raise SourceError(f"source {str(path)!r}: {(error.strerror or 'unreadable').lower()}") from error
    if is_folder or path.suffix.lower() in SUFFIXES:
        parameters = Parameters(query, "a folder" if is_folder else "a picture", ("interval_s", "loop"))
        interval_s = parameters.number("interval_s", 0.05, 86400, "seconds")
        loop = parameters.choice("loop", "0", "1") != "0"
        return PictureSource(path, interval_s=interval_s or 1.0, loop=loop, name=path.name or "pictures")
    parameters = Parameters(query, "a video file", ("loop",))
    loop = parameters.choice("loop", "0", "1") != "0"
    source = Input(url=str(path), shown=str(path), kind=Kind.FILE, loop=loop)
    return CaptureSource(source, name=path.name)


def _query(text: str) -> tuple[str, str]:
    location, _, query = text.partition("?")
    return location, query
