"""Addresses as they may be shown and logged: without user name, password and query."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://|(rtsps?|https?):/?", re.IGNORECASE)
_LIKE_ADDRESS = re.compile(r"(rtsps?|https?):|[^/\\]+:[^/\\]*@", re.IGNORECASE)
_SECRET_IN_PATH = re.compile(
    r"((?:user|usr|login|pass|pwd|token|key|auth|secret)[^/=]*=)[^/]*", re.IGNORECASE
)
"""As some cameras have it: ``rtsp://host/user=admin_password=secret_channel=1``."""


def is_like_address(text: str) -> bool:
    """Tell whether it is meant as an address, though ``://`` may be missing."""
    return _LIKE_ADDRESS.match(text) is not None


def without_secrets(uri: str) -> str:
    """Return the URI with its user name, password and query left out, however they were written."""
    found = _SCHEME.match(uri)
    if found is None and not is_like_address(uri):
        return uri  # a path
    scheme = "" if found is None else found[0]
    rest = uri[len(scheme) :]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # an @ further on ends a password in which a / or another sign was not written %2F
    if "@" in authority or (":" in authority and "@" in rest):
        rest = "***@" + rest.rpartition("@")[2]
    shown = re.sub(r"[?#].*", "", rest, flags=re.DOTALL)
    return scheme + _SECRET_IN_PATH.sub(r"\1***", shown)
