"""What a user of ``Vision``, ``VisionAgent`` and ``initial_context`` can set."""

from __future__ import annotations

from dataclasses import dataclass

from .demand import POLICIES
from .errors import ConfigError, check_range

DEFAULT_INSTRUCTIONS = (
    "You see through the user's camera. With each question you get the current picture and one line that "
    "says which view it is and how old. Answer briefly, only from what the picture shows. If a line says "
    "there is no picture, say so and do not guess."
)
"""The default instructions of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionOptions:
    """How pictures are chosen and made."""

    max_age_s: float = 0.3
    """Greatest age of a frame that counts as current, in seconds."""
    max_wait_s: float = 2.0
    """How long a turn waits for a fresh frame, or a large one, in seconds. A large simulcast layer that a
    browser has stopped encoding takes up to 1.9 s to come back; one that it still encodes, 0.2 s."""
    max_side_px: int = 768
    """Longest side of a picture, in pixels; never scaled up."""
    quality: int = 80
    """JPEG quality, 1-100."""
    max_images: int = 3
    """Pictures in a request, not counting those given at the start. All pictures of the turn go out, even if
    there are more; the rest is for the newest pictures of earlier turns. At 1, for models that accept one
    picture per request, there is never a second one: an upload goes before the camera's view."""
    max_held_bytes: int = 32_000_000
    """Most bytes of pictures that are held in memory, beside the messages themselves."""
    inference_detail: str = "auto"
    """The detail level for the provider: low, high or auto."""
    speaking_fps: float = 1.0
    """Frames per second a realtime model gets while the user speaks; other models get the turn's picture."""
    silent_fps: float = 0.3
    """Frames per second a realtime model gets while nobody speaks."""
    demand: str = "ready"
    """What a view costs while nobody asks: always (full), ready (a small view) or on_demand (nothing)."""
    grace_s: float = 5.0
    """How long a view stays at full size after the last question, in seconds."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: Names the setting, the value and what is allowed.
        """
        check_range("max_age_s", self.max_age_s, 0.01, 60, "seconds")  # at 0 no picture is ever fresh enough
        check_range("max_wait_s", self.max_wait_s, 0, 60, "seconds")
        check_range("speaking_fps", self.speaking_fps, 0, 60, "frames per second")
        check_range("silent_fps", self.silent_fps, 0, 60, "frames per second")
        check_range("grace_s", self.grace_s, 0, 3600, "seconds")
        check_range("max_side_px", self.max_side_px, 16, 8192, "pixels")
        check_range("quality", self.quality, 1, 100)
        check_range("max_held_bytes", self.max_held_bytes, 1_000_000, 10_000_000_000, "bytes")
        check_range("max_images", self.max_images, 1, 100, "pictures")
        if self.demand not in POLICIES:
            raise ConfigError(f"demand = {self.demand!r}: must be always, ready or on_demand")
        if self.inference_detail not in ("low", "high", "auto"):
            raise ConfigError(f"inference_detail = {self.inference_detail!r}: must be low, high or auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextOptions:
    """Which pictures are in the chat context from the start, and how an address is fetched."""

    images: tuple[str, ...] = ()
    """Paths of files, or ``http(s)://`` addresses."""
    fetch: bool = False
    """Whether an address is fetched and its picture inlined, for providers that open no address."""
    max_bytes: int = 10_000_000
    """Most bytes of a file, local or fetched."""
    max_pixels: int = 50_000_000
    """Most pixels that a file may declare."""
    timeout_s: float = 10.0
    """Longest time one fetch may take with all its redirects, in seconds."""
    max_redirects: int = 3
    """Most redirects that are followed."""
    allow_private: bool = False
    """Whether to fetch from loopback, private, link-local and other special addresses."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: Names the setting, the value and the range.
        """
        check_range("max_bytes", self.max_bytes, 1_000, 1_000_000_000, "bytes")
        check_range("max_pixels", self.max_pixels, 1_000, 1_000_000_000, "pixels")
        check_range("timeout_s", self.timeout_s, 0.1, 3600, "seconds")
        check_range("max_redirects", self.max_redirects, 0, 20, "redirects")
