"""The parameters of a source's URI, checked."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from ..errors import ConfigError, check_range

MAX_PX = 16384


class Parameters:
    """The parameters of one URI; an unknown one is an error.

    Args:
        text: As in ``size=1280x720&fps=30``.
        kind: What to call the source in errors.
        known: The names it understands.

    Raises:
        ConfigError: A name is unknown.
    """

    def __init__(self, text: str, kind: str, known: tuple[str, ...]) -> None:
        self._kind = kind
        self._values = dict(parse_qsl(text, keep_blank_values=True))
        for name in self._values:
            if name not in known:
                way_out = f"{kind} knows {', '.join(known)}" if known else f"{kind} has none"
                raise ConfigError(f"source parameter {name!r}: {way_out}")

    def size(self) -> tuple[int, int] | None:
        """Return ``size`` as width and height in pixels."""
        text = self._values.get("size")
        if text is None:
            return None
        found = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", text)
        if found is None:
            raise ConfigError(f"{self._kind} size {text!r}: write size=1280x720")
        size_wh = (int(found[1]), int(found[2]))
        for side in size_wh:
            check_range(f"{self._kind} size", side, 16, MAX_PX, "pixels")
        return size_wh

    def number(self, name: str, low: float, high: float, unit: str) -> float | None:
        """Return a number within its range."""
        text = self._values.get(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError as error:
            raise ConfigError(f"{self._kind} {name} {text!r}: must be a number of {unit}") from error
        check_range(f"{self._kind} {name}", value, low, high, unit)
        return value

    def choice(self, name: str, *choices: str) -> str | None:
        """Return one of some words."""
        text = self._values.get(name)
        if text is not None and text not in choices:
            raise ConfigError(f"{self._kind} {name} {text!r}: must be {' or '.join(choices)}")
        return text
