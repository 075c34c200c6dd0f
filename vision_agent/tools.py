"""What the model can do with a picture besides talk about it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from livekit import rtc
from livekit.agents import ToolError, function_tool, llm
from pydantic import BaseModel, Field

from .errors import ImageError
from .imaging.draw import Box, draw
from .imaging.frame import decode_jpeg
from .imaging.jpeg import EncodedImage, encode_rgb
from .output import PictureOutput
from .turns.context import Shown

UNITS = 1000
"""Boxes are told in thousandths of the picture's width and height, as Gemini tells them."""
QUALITY = 90


class MarkedBox(BaseModel):
    """One box, in thousandths of the picture's width and height."""

    label: str = Field(description="one to three words written beside the box")
    left: int = Field(description="left edge, 0 to 1000")
    top: int = Field(description="top edge, 0 to 1000")
    right: int = Field(description="right edge, 0 to 1000")
    bottom: int = Field(description="bottom edge, 0 to 1000")


def annotate_tool(shown: Callable[[], Sequence[Shown]], output: PictureOutput) -> llm.Tool:
    """Make the tool ``annotate``.

    Args:
        shown: Gives the pictures of the request that is being answered, the newest first.
        output: Where the drawing goes.
    """

    @function_tool
    async def annotate(boxes: list[MarkedBox], view: str = "") -> str:
        """Mark things on the picture you just saw and send it to the user.

        Call it when the user asks to show, mark, point at or find something in the picture.

        Args:
            boxes: What to mark, and where it is.
            view: Name of the view, as in the line beside the picture; needed if there are several.
        """
        picture = _chosen(shown(), view.strip())
        try:
            marks = [
                Box(label=b.label, xyxy=(b.left / UNITS, b.top / UNITS, b.right / UNITS, b.bottom / UNITS))
                for b in boxes
            ]
            image = await asyncio.to_thread(_drawn, picture, marks)
        except ImageError as error:
            raise ToolError(str(error)) from error
        size_wh = (image.width, image.height)
        attributes = {
            "view": picture.view,
            "time": "" if picture.taken_s is None else _iso(picture.taken_s),
            "size": f"{image.width}x{image.height}",
            "turn": str(picture.turn),
            "boxes": json.dumps([{"label": m.label, "xyxy": m.pixels_xyxy(size_wh)} for m in marks]),
        }
        name = f"{re.sub(r'[^A-Za-z0-9]+', '-', picture.view)[:40].strip('-') or 'view'}-turn-{picture.turn}"
        try:
            await output.send(image, name=name, attributes=attributes)
        except (rtc.StreamError, ConnectionError, OSError) as error:
            raise ToolError("the marked picture could not be sent") from error
        return f"The picture of {picture.view} with {len(marks)} marked was sent to the user."

    return annotate


def _chosen(pictures: Sequence[Shown], view: str) -> Shown:
    """Return the newest picture of a view, or the only one of the newest turn."""
    if view:
        for picture in pictures:
            if picture.view.casefold() == view.casefold():
                return picture
        raise ToolError(f"there is no picture of {view!r}: {_list_of(pictures)}")
    newest = _of_newest_turn(pictures)
    if not newest:
        raise ToolError("there is no picture to mark")
    if len({picture.view for picture in newest}) > 1:
        raise ToolError(f"say which view the boxes are on: {_list_of(newest)}")
    return newest[0]


def _of_newest_turn(pictures: Sequence[Shown]) -> list[Shown]:
    """Return the views of the newest turn and what was sent since; of a realtime model, all it saw last."""
    newest: list[Shown] = []
    for picture in pictures:
        turns = {each.turn for each in newest} - {0}
        if turns and picture.turn not in turns:
            break
        newest.append(picture)
    return newest


def _list_of(pictures: Sequence[Shown]) -> str:
    names = dict.fromkeys(picture.view for picture in pictures)
    return ", ".join(repr(name) for name in names) or "there is none at all"


def _drawn(picture: Shown, marks: Sequence[Box]) -> EncodedImage:
    header, _, body = picture.data_url.partition(";base64,")
    if header != "data:image/jpeg":
        raise ImageError(f"the picture of {picture.view} is not held here: it can't be drawn on")
    stamp = "" if picture.taken_s is None else _iso(picture.taken_s).replace("T", " ")[:19]
    canvas = draw(decode_jpeg(base64.b64decode(body)), marks, stamp=stamp)
    return encode_rgb(canvas, max_side_px=max(canvas.shape[:2]), quality=QUALITY)


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, tz=timezone.utc).isoformat(timespec="milliseconds")
