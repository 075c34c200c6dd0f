"""``Sighting``: one picture that leaves the process, or the reason why there is none."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from ..imaging.jpeg import EncodedImage

Purpose = Literal["turn", "tool", "upload", "initial", "realtime"]
"""What a picture is for: the view of a turn, a tool, an upload, the initial context, or a realtime model."""
Choice = Literal["", "prepared", "newest", "awaited", "none", "sent", "given"]
"""How it was chosen: ``prepared`` (encoded ahead of time), ``newest`` (the newest frame was good),
``awaited`` (the turn waited for it), ``none`` (no picture), ``sent`` by a person or added by a tool,
``given`` at the start."""


def new_id() -> str:
    """Return an id that no other sighting has."""
    return f"sighting_{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one view showed at one moment, or what somebody sent.

    Messages refer to it by id, tools draw on it, the built-in model reads it. ``turns/lines.py`` makes
    the line that a model reads beside it, each time a request is rendered.
    """

    view: str
    """Name of the view; for a picture that was sent or given, its caption or file name."""
    id: str = field(default_factory=new_id)
    """Unique; also the id of the picture's ``ImageContent``."""
    owner: str = ""
    """Identity of the participant whose view it is, or who sent it; empty if there is none."""
    purpose: Purpose = "turn"
    """What it is for."""
    image: EncodedImage | None = None
    """The picture, or None."""
    problem: str | None = None
    """Why there is no picture, in a few words."""
    address: str = ""
    """The address from which the provider fetches the picture, if it is not held here."""
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
        """Return what a message keeps about it, as JSON types: everything but the picture."""
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
"""The former name of ``Sighting``, kept so that existing code can import it."""
