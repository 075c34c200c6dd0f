"""The errors this package raises, and the exit code of a command that ends with one.

VisionAgentError
├── ConfigError     a setting or an argument that can't be used; stops the start
├── ServerError     a LiveKit server that can't be reached or refuses the key
├── SourceError     a source that can't be opened or read
└── ImageError      bytes or a frame that can't be made into a picture
"""

from typing import ClassVar


class VisionAgentError(Exception):
    """Root of all errors of this package; its text is one line that says what to do."""

    exit_code: ClassVar[int] = 1
    """The exit code of a command that ends with this error."""


class ConfigError(VisionAgentError):
    """A setting names something unknown or has a value that can't be used."""

    exit_code = 2


class ServerError(VisionAgentError):
    """A LiveKit server can't be started, reached or used with this key."""


class SourceError(VisionAgentError):
    """A source can't be opened, or stopped giving frames for good."""


class ImageError(VisionAgentError):
    """Bytes or a frame can't be read as a picture."""


def check_range(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Check that a setting is a number from ``low`` to ``high``.

    Raises:
        ConfigError: It is not; the text names the setting, the value, the unit and the range.
    """
    if not low <= value <= high:  # also true for nan
        raise ConfigError(f"{name} = {value!r}: must be from {low:g} to {high:g}{unit and ' ' + unit}")
