"""``Outlet``: hands prepared pictures to a realtime model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from livekit import rtc

from ..imaging.frame import Frame
from ..record.sighting import Sighting
from .policy import FramePolicy

Push = Callable[[rtc.VideoFrame], None]


class Items(Protocol):
    """A conversation in which each picture is an item; ``PictureItems`` is one."""

    def show(self, sighting: Sighting) -> None:
        """Put a picture at the end of the conversation, and delete the view's earlier one."""

    def withdraw(self, view: str) -> None:
        """Delete the picture of a view from the conversation."""

    def is_busy(self, view: str) -> bool:
        """Return whether the last picture of a view is still on its way."""

    def close(self) -> None:
        """Delete all pictures from the conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture as a realtime model gets it."""

    sighting: Sighting
    """What the picture shows; without the JPEG if the model takes frames."""
    frame: Frame | None
    """The small frame, upright limited-range I420; None if the model takes a JPEG."""


class Outlet:
    """Hands pictures over in the form that the model takes: frames, or items of its conversation.

    Args:
        push: Takes each small frame, I420 and upright.
        policy: When pictures go out; if it can change, a function that returns it.
        items: Takes the pictures if the policy is ``items`` or ``items_while_speaking``.
    """

    def __init__(
        self, push: Push, policy: FramePolicy | Callable[[], FramePolicy], items: Items | None = None
    ) -> None:
        self._push = push
        self._policy = policy
        self._items = items

    @property
    def policy(self) -> FramePolicy:
        """The current policy."""
        return self._policy() if callable(self._policy) else self._policy

    @property
    def takes_items(self) -> bool:
        """Whether a picture goes out as a JPEG, not as a frame."""
        return self._items is not None and self.policy != "stream"

    def give(self, picture: Picture) -> None:
        """Hand a picture over; errors of the model's client are not caught here."""
        if picture.frame is not None:
            self._push(_video_frame(picture.frame))
        elif self._items is not None:
            self._items.show(picture.sighting)

    def is_busy(self, view: str) -> bool:
        """Return whether a picture of this view is still on its way."""
        return self._items is not None and self._items.is_busy(view)

    def withdraw(self, view: str) -> None:
        """Take back the picture of a view that is gone, if the model allows it."""
        if self._items is not None:
            self._items.withdraw(view)

    def close(self) -> None:
        """Take back all pictures, if the model allows it."""
        if self._items is not None:
            self._items.close()


def _video_frame(frame: Frame) -> rtc.VideoFrame:
    assert frame.planes_i420 is not None
    return rtc.VideoFrame(frame.width, frame.height, rtc.VideoBufferType.I420, frame.planes_i420.tobytes())
