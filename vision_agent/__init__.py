"""A camera-vision agent for LiveKit: it answers from what is really there, now.

A name's module is loaded when the name is first used: ``vision-agent publish`` on a small board does
not need the agents framework, which takes seconds to load there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import VisionAgent
    from .errors import ConfigError, ImageError, SourceError, VisionAgentError
    from .imaging.frame import Frame
    from .imaging.jpeg import EncodedImage, encode_jpeg
    from .initial import initial_context
    from .options import ContextOptions, VisionOptions
    from .record.sighting import Sighting, View
    from .sources import FrameSource, open_source
    from .views.filters import BlurRegion, MaskRegion, PictureFilter
    from .views.vision import Vision

__all__ = [
    "BlurRegion",
    "ConfigError",
    "ContextOptions",
    "EncodedImage",
    "Frame",
    "FrameSource",
    "ImageError",
    "MaskRegion",
    "PictureFilter",
    "Sighting",
    "SourceError",
    "View",
    "Vision",
    "VisionAgent",
    "VisionAgentError",
    "VisionOptions",
    "__version__",
    "encode_jpeg",
    "initial_context",
    "open_source",
]

__version__ = "0.1.0"

_MODULES = {
    "BlurRegion": "views.filters",
    "ConfigError": "errors",
    "ContextOptions": "options",
    "EncodedImage": "imaging.jpeg",
    "Frame": "imaging.frame",
    "FrameSource": "sources",
    "ImageError": "errors",
    "MaskRegion": "views.filters",
    "PictureFilter": "views.filters",
    "Sighting": "record.sighting",
    "SourceError": "errors",
    "View": "record.sighting",
    "Vision": "views.vision",
    "VisionAgent": "agent",
    "VisionAgentError": "errors",
    "VisionOptions": "options",
    "encode_jpeg": "imaging.jpeg",
    "initial_context": "initial",
    "open_source": "sources",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'vision_agent' has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
