"""The errors this package raises.

VisionAgentError
├── ConfigError     a setting or an argument that can't be used; stops the start
├── SourceError     a source that can't be opened or read
└── ImageError      bytes or a frame that can't be made into a picture
"""


class VisionAgentError(Exception):
    """Root of all errors of this package; its text is one line a person can act on."""


class ConfigError(VisionAgentError):
    """A setting names something unknown or has a value that can't be used."""


class SourceError(VisionAgentError):
    """A source can't be opened, or stopped giving frames for good."""


class ImageError(VisionAgentError):
    """Bytes or a frame can't be read as a picture."""
