"""``Sighting``: one picture that leaves, or the reason why there is none."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from ..imaging.jpeg import EncodedImage

Purpose = Literal["turn", "tool", "upload", "initial", "realtime"]
"""What a picture is for: a turn's view, a tool's picture, one that somebody sent, one of the initial
context, or a frame for a realtime model."""
Choice = Literal["", "prepared", "newest", "awaited", "none", "sent", "given"]
"""How it was chosen: encoded ahead of time, the newest frame at hand, a frame the turn waited for, none
found; sent by a person; given at the start."""


def new_id() -> str:
    """Return an id that no other sighting has."""
    return f"sighting_{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one view showed at one moment, or what somebody sent.

    Messages refer to it by id, tools draw on it, the built-in model reads it. The line a model reads
    beside it is composed from it when a request is rendered (``turns/lines.py``).
    """

    view: str
    """Name of the view; of a picture that was sent or given, its caption or file name."""
    id: str = field(default_factory=new_id)
    """Unique; also the id of the picture's ``ImageContent``."""
    owner: str = ""
    """Identity of the participant whose view it is, or who sent it; empty: nobody's."""
    purpose: Purpose = "turn"
    """What it is for."""
    image: EncodedImage | None = None
    """The picture, or None."""
    problem: str | None = None
    """Why there is no picture, in a few words."""
    address: str = ""
    """Where the provider fetches the picture itself, if it is not held here."""
    captured_s: float | None = None
    """When the picture reached us, in seconds of ``time.monotonic()``: for ages."""
    captured_unix_s: float | None = None
    """The same moment in seconds of Unix time: for people."""
    chosen_s: float | None = None
    """When it was chosen, in seconds of ``time.monotonic()``."""
    chosen: Choice = ""
    """How it was chosen."""

    @property
    def name(self) -> str:
        """The view's name."""
        return self.view

    @property
    def age_s(self) -> float | None:
        """The picture's age when it was chosen, in seconds."""
        if self.captured_s is None or self.chosen_s is None:
            return None
        return max(0.0, self.chosen_s - self.captured_s)

    @property
    def taken_s(self) -> float | None:
        """When the picture reached us, in seconds of Unix time."""
        return self.captured_unix_s

    def record(self) -> dict[str, Any]:
        """Return what a message keeps of it, as JSON types: everything but the picture."""
        age_s = self.age_s
        return {
            "id": self.id,
            "view": self.view,
            "owner": self.owner,
            "purpose": self.purpose,
            "problem": self.problem,
            "address": self.address,
            "captured_unix_s": self.captured_unix_s,
            "age_ms": None if age_s is None else round(age_s * 1000, 1),
            "size_wh": None if self.image is None else [self.image.width, self.image.height],
            "chosen": self.chosen,
        }


View = Sighting
"""The name that ``Vision.look`` gave its results before they had an id."""
