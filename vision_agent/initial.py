"""Pictures the model has from the start: from a file or an address, before the first question."""

from __future__ import annotations

import asyncio
import mimetypes
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from livekit.agents import llm

from .errors import ConfigError, ImageError
from .fetch import fetch, shown
from .imaging.files import read_picture
from .imaging.jpeg import DEFAULT_MAX_SIDE_PX
from .options import ContextOptions
from .turns import context


async def initial_context(
    images: Sequence[str | Path],
    options: ContextOptions | None = None,
    *,
    max_side_px: int = DEFAULT_MAX_SIDE_PX,
) -> llm.ChatContext:
    """Make the chat context an agent starts with: one user message a picture, with its line.

    A local file is read and inlined. An address is handed on for the provider to open, or fetched
    and inlined with ``options.fetch``. These pictures are reference: they stay for the whole
    conversation and don't count as turn pictures.

    Args:
        images: Paths and ``http(s)://`` addresses, in the order the model gets them.
        options: Whether and within which limits addresses are fetched; ``options.images`` is not used.
        max_side_px: Longest side of an inlined picture, in pixels; never scaled up.

    Raises:
        ConfigError: A file can't be read, or the address is of an unknown kind.
        SourceError: An address can't be fetched within the limits.
        ImageError: What was read is no accepted picture.
    """
    options = options or ContextOptions()
    # one after the other: one decoded picture in memory at a time, and the first bad one ends it all
    return llm.ChatContext([await _message(each, options, max_side_px) for each in images])


async def _message(image: str | Path, options: ContextOptions, max_side_px: int) -> llm.ChatMessage:
    where = _where(image)
    if isinstance(where, Path):
        data = await asyncio.to_thread(_read_file, where, options.max_bytes)
        return await _inlined(data, where.name, str(where), options, max_side_px)
    url = where
    if options.fetch:
        data = await fetch(
            url,
            max_bytes=options.max_bytes,
            timeout_s=options.timeout_s,
            max_redirects=options.max_redirects,
            allow_private=options.allow_private,
        )
        return await _inlined(data, shown(url), shown(url), options, max_side_px)
    mime_type, _ = mimetypes.guess_type(urlsplit(url).path)
    is_image = mime_type is not None and mime_type.startswith("image/")
    return context.given(llm.ImageContent(image=url, mime_type=mime_type if is_image else None), shown(url))


def _where(image: str | Path) -> Path | str:
    """Return the path of a local file, or else the address."""
    text = str(image)
    if text and "://" not in text:
        return Path(image)
    try:
        parts = urlsplit(text)
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(url2pathname(parts.path))
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return text
    # the port is none, or a bracket is not closed; its text may hold the password
    except ValueError:
        raise ConfigError(f"picture {shown(text)!r}: not a valid address") from None
    raise ConfigError(f"picture {shown(text)!r}: must be a file or an http(s):// address")


async def _inlined(
    data: bytes, name: str, where: str, options: ContextOptions, max_side_px: int
) -> llm.ChatMessage:
    try:
        picture = await asyncio.to_thread(
            read_picture, data, max_side_px=max_side_px, max_pixels=options.max_pixels
        )
    except ImageError as error:
        raise ImageError(f"picture {where}: {error}") from error
    return context.given(llm.ImageContent(image=picture.data_url(), mime_type=picture.mime_type), name)


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        path = path.expanduser()
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe or device would never end
            raise ConfigError(f"picture {path}: not a file")
        if found.st_size > max_bytes:
            raise ConfigError(f"picture {path}: {found.st_size} bytes, at most {max_bytes} are accepted")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"picture {path}: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:  # a NUL byte; a home directory nobody has
        raise ConfigError(f"picture {str(path)!r}: not a path that can be used") from error
