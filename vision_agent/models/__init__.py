"""Choosing the model that answers."""

from __future__ import annotations

import warnings
from typing import Any

from livekit.agents import llm

from ..errors import ConfigError
from .offline import OfflineLLM

__all__ = ["OfflineLLM", "open_model"]


def open_model(name: str = "offline") -> llm.LLM[Any]:
    """Return the model with a name: ``offline``, or ``google/<model>`` such as ``google/gemini-2.5-flash``.

    Raises:
        ConfigError: The name is unknown, or the provider's key is missing.
    """
    if name == "offline":
        return OfflineLLM()
    provider, _, model = name.partition("/")
    if provider == "google" and model:
        with warnings.catch_warnings():
            # on Python 3.10 Google's packages print eight lines that ask each user to upgrade
            warnings.filterwarnings("ignore", "You are using a non-supported Python", FutureWarning)
            from livekit.plugins import google  # slow to import: only for those who use it

        try:
            return google.LLM(model=model)
        except ValueError as error:
            raise ConfigError(f"model {name!r}: set GOOGLE_API_KEY to your Gemini key") from error
    raise ConfigError(f"model {name!r}: unknown; use offline or google/<model>")
