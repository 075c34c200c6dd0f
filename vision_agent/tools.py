"""What the model can do with a picture, besides talking about it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from livekit import rtc
from livekit.agents import RunContext, ToolError, function_tool, llm
from pydantic import BaseModel, Field

from .errors import ImageError
from .imaging.draw import Box, draw
from .imaging.frame import decode_jpeg
from .imaging.jpeg import EncodedImage, encode_rgb
from .output import PictureOutput
from .record.ledger import Ledger
from .record.sighting import Sighting
from .turns.lines import clean, quoted

UNITS = 1000
"""The coordinates of boxes are thousandths of the picture's width and height, as Gemini gives them."""
QUALITY = 90


class MarkedBox(BaseModel):
    """One box, in thousandths of the picture's width and height."""

    label: str = Field(description="one to three words written beside the box")
    left: int = Field(description="left edge, 0 to 1000")
    top: int = Field(description="top edge, 0 to 1000")
    right: int = Field(description="right edge, 0 to 1000, above left")
    bottom: int = Field(description="bottom edge, 0 to 1000, above top")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the model saw in the request that made a tool call."""

    current: Sequence[Sighting]
    """The sightings of the request's own turn, in the order of the request."""
    earlier: Sequence[Sighting] = ()
    """Older sightings whose pictures were also in the request, the newest first."""
    numbered: Sequence[str] = ()
    """Ids of sightings in the order of the numbers in their lines."""
    turn: int = 0
    """Number of the turn."""
    asked_by: str = ""
    """Identity of the person who asked, or empty."""


def annotate_tool(seen: Callable[[RunContext[Any]], Awaitable[Seen]], output: PictureOutput) -> llm.Tool:
    """Make the tool ``annotate``.

    Args:
        seen: Returns what the model saw in the request that made the call.
        output: Where the marked picture goes.
    """

    @function_tool
    async def annotate(
        context: RunContext[Any], boxes: list[MarkedBox], view: str = "", picture: int = 0
    ) -> str:
        """Mark things on the picture you just saw and send it to the user.

        Call it when the user asks to show, mark, point at or find something in the picture.

        Args:
            context: Of the call; the model does not see it.
            boxes: What to mark, and where it is; at least one.
            view: Name of the view or picture, as in the line beside it; needed if there are several.
            picture: Its number, as in the line beside it, such as 2 in "picture 2 of 3"; 0 if there is none.
        """
        was = await seen(context)
        chosen = _chosen(was, view.strip(), picture)
        marks = _checked(boxes)
        try:
            image = await asyncio.to_thread(_drawn, chosen, marks)
        except ImageError as error:
            raise ToolError(str(error)) from error
        name = clean(chosen.view) or "upload"
        size_wh = (image.width, image.height)
        attributes = {
            "view": name,
            "time": "" if chosen.captured_unix_s is None else _iso(chosen.captured_unix_s),
            "size": f"{image.width}x{image.height}",
            "turn": str(was.turn),
            "asked_by": was.asked_by,
            "boxes": json.dumps([{"label": m.label, "xyxy": m.pixels_xyxy(size_wh)} for m in marks]),
        }
        file_name = f"{re.sub(r'[^A-Za-z0-9]+', '-', name)[:40].strip('-') or 'view'}-turn-{was.turn}"
        try:
            await output.send(image, name=file_name, attributes=attributes)
        except (rtc.StreamError, ConnectionError, OSError) as error:
            raise ToolError("the marked picture could not be sent") from error
        return f"The picture of {name} with {len(marks)} marked was sent to the user."

    return annotate


def seen_by_call(ledger: Ledger, call_id: str) -> Seen:
    """Return what the model saw in the request that made a tool call; empty if it is not known."""
    request = ledger.request_of_call(call_id)
    if request is None:
        return Seen(current=())
    return Seen(
        current=[each for key in request.current if (each := ledger.get(key)) is not None],
        earlier=[each for key in request.earlier if (each := ledger.get(key)) is not None],
        numbered=request.numbered,
        turn=request.turn,
        asked_by=request.asked_by,
    )


def _chosen(seen: Seen, view: str, number: int) -> Sighting:
    """Return the picture to mark: one of the request's turn, or an older one that was sent or given.

    A view's picture from an earlier question is never marked: the user would take it for the current view.
    """
    current = [each for each in seen.current if each.problem is None]
    kept = [each for each in seen.earlier if each.purpose in ("upload", "initial", "tool")]
    if number:
        known = {each.id: each for each in [*current, *kept]}
        numbered = seen.numbered or [each.id for each in current]
        if not 1 <= number <= len(numbered) or numbered[number - 1] not in known:
            raise ToolError(f"there is no picture {number} to mark: {_list_of([*current, *kept])}")
        return known[numbered[number - 1]]
    if view:
        wanted = clean(view).casefold()
        for each in [*reversed(current), *kept]:
            if (clean(each.view) or "upload").casefold() == wanted:
                return each
        older = next((each for each in seen.earlier if clean(each.view).casefold() == wanted), None)
        blind = next((e for e in seen.current if e.problem and clean(e.view).casefold() == wanted), None)
        if blind is not None:
            raise ToolError(f"there is no picture of {quoted(blind.view)} now: {blind.problem}")
        if older is not None:
            raise ToolError(f"the picture of {quoted(older.view)} is of an earlier question: look again")
        raise ToolError(f"there is no picture of {quoted(view)}: {_list_of([*current, *kept])}")
    if not current:
        raise ToolError("there is no picture to mark")
    if len(current) > 1:
        raise ToolError(f"say which view the boxes are on: {_list_of(current)}")
    return current[0]


def _checked(boxes: Sequence[MarkedBox]) -> list[Box]:
    """Check the model's boxes; the errors tell the model what to change."""
    if not boxes:
        raise ToolError("there is no box: give at least one, in thousandths of width and height")
    for box in boxes:
        sides = {"left": box.left, "top": box.top, "right": box.right, "bottom": box.bottom}
        for side, value in sides.items():
            if not 0 <= value <= UNITS:
                raise ToolError(f"box {quoted(box.label)}: {side} = {value}, must be from 0 to {UNITS}")
        for low, high in (("left", "right"), ("top", "bottom")):
            if sides[low] >= sides[high]:
                raise ToolError(
                    f"box {quoted(box.label)}: {low} < {high} must hold, "
                    f"but {low} = {sides[low]} and {high} = {sides[high]}"
                )
    return [
        Box(
            label=clean(box.label, most=40),
            xyxy=(box.left / UNITS, box.top / UNITS, box.right / UNITS, box.bottom / UNITS),
        )
        for box in boxes
    ]


def _list_of(pictures: Sequence[Sighting]) -> str:
    names = dict.fromkeys(clean(picture.view) or "upload" for picture in pictures)
    return ", ".join(repr(name) for name in names) or "there is none at all"


def _drawn(picture: Sighting, marks: Sequence[Box]) -> EncodedImage:
    image = picture.image
    if image is None or image.mime_type != "image/jpeg":
        raise ImageError(f"the picture of {quoted(picture.view)} is not held here: it can't be drawn on")
    for mark in marks:
        left, top, right, bottom = mark.pixels_xyxy((image.width, image.height))
        if right - left < 2 or bottom - top < 2:
            raise ImageError(f"box {quoted(mark.label)} is less than 2 pixels wide or high: make it larger")
    stamp = "" if picture.captured_unix_s is None else _iso(picture.captured_unix_s).replace("T", " ")[:19]
    canvas = draw(decode_jpeg(image.data), marks, stamp=stamp)
    return encode_rgb(canvas, max_side_px=max(canvas.shape[:2]), quality=QUALITY)


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, tz=timezone.utc).isoformat(timespec="milliseconds")
