"""Pictures that the model has from the start: from a file or an address, before the first question."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from livekit.agents import llm

from .errors import ConfigError, ImageError
from .fetch import fetch
from .imaging.files import read_picture
from .options import ContextOptions, VisionOptions
from .record.sighting import Sighting
from .redaction import without_secrets
from .turns.messages import carrier


async def initial_context(
    images: Sequence[str | Path],
    options: ContextOptions | None = None,
    *,
    max_side_px: int | None = None,
    vision: VisionOptions | None = None,
) -> llm.ChatContext:
    """Make the chat context an agent starts with: one user message per picture, with its line.

    A local file is read and inlined. An address is passed on and the provider opens it; with
    ``options.fetch`` it is fetched and inlined. These pictures are for reference: they stay for the
    whole conversation and don't count towards ``max_images``.

    Args:
        images: Paths and ``http(s)://`` addresses, in the order the model gets them.
        options: Whether and within which limits to fetch addresses; ``options.images`` is not used.
        max_side_px: Longest side of an inlined picture, in pixels, instead of that of ``vision``.
        vision: Size, quality and ``inference_detail`` of the pictures, the same as for the views.

    Raises:
        ConfigError: A file can't be read, or the address is of an unknown kind.
        SourceError: An address can't be fetched within the limits.
        ImageError: The data is not an accepted picture.
    """
    options, vision = options or ContextOptions(), vision or VisionOptions()
    if max_side_px is not None:
        vision = replace(vision, max_side_px=max_side_px)
    # one after the other: only one decoded picture is in memory, and the first bad one stops everything
    return llm.ChatContext([await _message(each, options, vision) for each in images])


async def _message(image: str | Path, options: ContextOptions, vision: VisionOptions) -> llm.ChatMessage:
    where = _where(image)
    if isinstance(where, Path):
        data = await asyncio.to_thread(_read_file, where, options.max_bytes)
        return await _inlined(data, where.name, str(where), options, vision)
    url = where
    if options.fetch:
        data = await fetch(
            url,
            max_bytes=options.max_bytes,
            timeout_s=options.timeout_s,
            max_redirects=options.max_redirects,
            allow_private=options.allow_private,
        )
        return await _inlined(data, without_secrets(url), without_secrets(url), options, vision)
    sighting = Sighting(view=without_secrets(url), purpose="initial", address=url, chosen="given")
    return carrier([sighting], kind="given", detail=vision.inference_detail)


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
    # an invalid port or an open bracket; the text of this error may contain the password
    except ValueError:
        raise ConfigError(f"picture {without_secrets(text)!r}: not a valid address") from None
    raise ConfigError(f"picture {without_secrets(text)!r}: must be a file or an http(s):// address")


async def _inlined(
    data: bytes, name: str, where: str, options: ContextOptions, vision: VisionOptions
) -> llm.ChatMessage:
    try:
        picture = await asyncio.to_thread(
            read_picture,
            data,
            max_side_px=vision.max_side_px,
            max_pixels=options.max_pixels,
            quality=vision.quality,
        )
    except ImageError as error:
        raise ImageError(f"picture {where}: {error}") from error
    sighting = Sighting(view=name, purpose="initial", image=picture, chosen="given")
    return carrier([sighting], kind="given", detail=vision.inference_detail)


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        path = path.expanduser()
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe or device might never end
            raise ConfigError(f"picture {path}: not a file")
        if found.st_size > max_bytes:
            raise ConfigError(f"picture {path}: {found.st_size} bytes, at most {max_bytes} are accepted")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"picture {path}: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:  # a NUL byte; the home directory of an unknown user
        raise ConfigError(f"picture {str(path)!r}: not a path that can be used") from error
