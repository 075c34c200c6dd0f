"""Every line that a model reads about a picture: made here from a sighting, and never parsed."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from ..record.sighting import Sighting

MAX_NAME_CHARS = 60
"""Most characters of a name or a caption that a model reads."""
NO_CAMERA = "[no picture: there is no camera]"
"""What a model reads if there is no view at all."""
_JOINERS = "\u200c\u200d"
"""Zero-width non-joiner and joiner: Persian words and many emoji need them."""

_REPLACED = {"[": "(", "]": ")", '"': "'", "\u201c": "'", "\u201d": "'"}
"""Characters that could end a quoted name or start a line of ours."""


def picture_line(sighting: Sighting, *, number: int = 1, count: int = 1, asked: str = "this question") -> str:
    """Return the line beside a picture.

    It gives the number of the picture, because some providers put all pictures before all text.

    Args:
        sighting: What was seen.
        number: Place of the picture among those of its message, counted from 1.
        count: How many pictures the message has.
        asked: The end point of the age, such as ``this question``.
    """
    which = "picture" if count == 1 else f"picture {number} of {count}"
    return f"[{which}: {_about(sighting, asked)}]"


def problem_line(sighting: Sighting) -> str:
    """Return the line that says why there is no picture of a view."""
    return f"[{problem_text(sighting.view, sighting.problem)}]"


def problem_text(view: str, problem: str | None) -> str:
    """Return in a few words why there is no picture of a view."""
    return f"no picture from {quoted(view)}: {clean(problem or 'not available', most=200)}"


def dropped_line(sighting: Sighting) -> str:
    """Return the line in place of a picture that is no longer in the request."""
    return f"[an earlier picture, no longer shown: {_named(sighting)}]"


def unnamed_line(number: int, count: int) -> str:
    """Return the line beside a foreign picture, in a message that also has pictures of ours."""
    return f"[picture {number} of {count}]"


def back_line(view: str) -> str:
    """Return the line for a realtime model that a view shows what is there now again."""
    return f"[{quoted(view)} shows what is there now, again]"


def quoted(text: str) -> str:
    """Return a name as a model reads it: one short line in quotation marks that it can't close."""
    return f'"{clean(text)}"'


@lru_cache(maxsize=256)
def clean(text: str, *, most: int = MAX_NAME_CHARS) -> str:
    """Make one short line from foreign text; other languages and emoji stay unchanged.

    Line breaks and unusual spaces become a space. Control and direction characters are removed. Square
    brackets become round ones and quotation marks single ones, so that it can't look like a line of ours.
    """
    harmless = "".join(_harmless(char) for char in text[: 20 * most])
    line = " ".join(part for part in harmless.split(" ") if part)
    if len(line) <= most:
        return line
    end = most - 1
    while end > 0 and (line[end] in _JOINERS or unicodedata.combining(line[end]) or _joins(line, end)):
        end -= 1  # don't cut a character in two
    return line[:end].rstrip(f" {_JOINERS}") + "…"


def _about(sighting: Sighting, asked: str) -> str:
    named = _named(sighting)
    age_s = sighting.age_s
    if sighting.purpose == "initial":
        return named
    if age_s is None:
        return named
    age = f"{age_s * 1000:.0f} ms" if age_s < 10 else f"{age_s:.0f} s"
    return f"{named}, {'sent' if sighting.purpose == 'upload' else 'seen'} {age} before {asked}"


def _named(sighting: Sighting) -> str:
    """Name a picture and say whose it is."""
    if sighting.purpose == "upload":
        sender = quoted(sighting.owner) if sighting.owner else "the user"
        return f"sent by {sender}" + (f" with the caption {quoted(sighting.view)}" if sighting.view else "")
    if sighting.purpose == "initial":
        return f"given at the start, {quoted(sighting.view)}"
    if sighting.purpose == "tool":
        return f"from a tool, {quoted(sighting.view)}"
    owner = sighting.owner
    whose = f" shared by {quoted(owner)}" if owner and owner not in sighting.view else ""
    return f"{quoted(sighting.view)}{whose}"


def _harmless(char: str) -> str:
    if char in _JOINERS:
        return char
    category = unicodedata.category(char)
    if category in ("Zs", "Zl", "Zp", "Cc"):
        return " "
    if category.startswith("C") and not "\U000e0020" <= char <= "\U000e007f":  # tags: flags of regions
        return ""
    return _REPLACED.get(char, char)


def _joins(line: str, at: int) -> bool:
    """Return whether the character before this position is a joiner, or this one a variation selector."""
    return line[at - 1] in _JOINERS or "\ufe00" <= line[at] <= "\ufe0f"
