"""Pictures that people and tools add to the chat context."""

from __future__ import annotations

import asyncio
import time

from .imaging.files import read_picture
from .imaging.frame import Frame, VideoFrameLike
from .imaging.jpeg import EncodedImage
from .record.sighting import Purpose, Sighting
from .views.vision import Vision


async def encoded(
    picture: EncodedImage | Frame | VideoFrameLike | bytes, *, vision: Vision, caption: str
) -> EncodedImage:
    """Make a picture from a tool's data, in the size and quality of the views.

    Args:
        picture: A picture, a frame of any pixel format, or the bytes of a picture file.
        vision: Its filters apply to a frame: those of all views, of the frame's source and of the caption.
        caption: What it shows; for a LiveKit frame also the name of the view.

    Raises:
        ImageError: The picture can't be read, or a filter failed.
    """
    if isinstance(picture, EncodedImage):
        return picture
    options = vision.options
    if isinstance(picture, bytes):
        return await asyncio.to_thread(
            read_picture, picture, max_side_px=options.max_side_px, quality=options.quality
        )
    if not isinstance(picture, Frame):
        picture = Frame.from_video_frame(picture, captured_s=time.monotonic(), source=caption)
    return await asyncio.to_thread(vision.lens(picture.source, caption).jpeg, picture)


def added(image: EncodedImage, caption: str, *, purpose: Purpose, owner: str = "") -> Sighting:
    """Return the sighting of a picture that has just arrived.

    Args:
        image: The picture.
        caption: What the picture shows, in the words of the person or the tool.
        purpose: ``upload`` or ``tool``.
        owner: Identity of the person who sent it, or empty.
    """
    return Sighting(
        view=caption,
        owner=owner,
        purpose=purpose,
        image=image,
        captured_s=time.monotonic(),
        captured_unix_s=time.time(),
        chosen="sent",
    )
