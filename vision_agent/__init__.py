"""A camera-vision agent for LiveKit: it answers from what is really there, now.

A name's module is loaded when the name is first used: ``vision-agent publish`` on a small board does
not need the agents framework, which takes seconds to load there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import VisionAgent
    from .errors import ConfigError, ImageError, SourceError, VisionAgentError
    from .imaging.files import read_picture
    from .imaging.frame import Frame
    from .imaging.jpeg import EncodedImage, encode_jpeg
    from .initial import initial_context
    from .options import ContextOptions, VisionOptions
    from .output import RoomOutput
    from .record.sighting import Sighting, View
    from .sources import FrameSource, open_source
    from .views.choice import AllViews, ViewPolicy
    from .views.filters import BlurRegion, MaskRegion, PictureFilter
    from .views.vision import Vision

__all__ = [
    "AllViews",
    "BlurRegion",
    "ConfigError",
    "ContextOptions",
    "EncodedImage",
    "Frame",
    "FrameSource",
    "ImageError",
    "MaskRegion",
    "PictureFilter",
    "RoomOutput",
    "Sighting",
    "SourceError",
    "View",
    "ViewPolicy",
    "Vision",
    "VisionAgent",
    "VisionAgentError",
    "VisionOptions",
    "__version__",
    "encode_jpeg",
    "initial_context",
    "open_source",
    "read_picture",
]

__version__ = "0.1.0"

_MODULES = {
    "AllViews": "views.choice",
    "BlurRegion": "views.filters",
    "ConfigError": "errors",
    "ContextOptions": "options",
    "EncodedImage": "imaging.jpeg",
    "Frame": "imaging.frame",
    "FrameSource": "sources",
    "ImageError": "errors",
    "MaskRegion": "views.filters",
    "PictureFilter": "views.filters",
    "RoomOutput": "output",
    "Sighting": "record.sighting",
    "SourceError": "errors",
    "View": "record.sighting",
    "ViewPolicy": "views.choice",
    "Vision": "views.vision",
    "VisionAgent": "agent",
    "VisionAgentError": "errors",
    "VisionOptions": "options",
    "encode_jpeg": "imaging.jpeg",
    "initial_context": "initial",
    "open_source": "sources",
    "read_picture": "imaging.files",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'vision_agent' has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
