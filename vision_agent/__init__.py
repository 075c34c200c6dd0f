"""A camera-vision agent for LiveKit: answers from what is really there, now."""

from .agent import VisionAgent
from .context import View
from .errors import ConfigError, ImageError, SourceError, VisionAgentError
from .frame import Frame
from .image import EncodedImage, encode_jpeg
from .initial import ContextOptions, initial_context
from .options import VisionOptions
from .sources import FrameSource, open_source
from .vision import Vision

__all__ = [
    "ConfigError",
    "ContextOptions",
    "EncodedImage",
    "Frame",
    "FrameSource",
    "ImageError",
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
