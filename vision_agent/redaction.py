"""Addresses as they may be shown and logged: without user name, password, query and fragment."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[^/\\@?#]*://|(rtsps?|https?|wss?):/?", re.IGNORECASE)
_LIKE_ADDRESS = re.compile(r"(rtsps?|https?|wss?):|(.*//)?[^/\\]+:[^/\\]*@", re.IGNORECASE)
_HOST = re.compile(r"(\[[^]/]*]|[^:[/]*)(:\d*)?")
_SECRET_IN_PATH = re.compile(
    r"((?:user|usr|login|pass|pwd|token|key|auth|secret)[^/=]*=)[^/]*", re.IGNORECASE
)
"""As some cameras have it: ``rtsp://host/user=admin_password=secret_channel=1``."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def is_like_address(text: str) -> bool:
    """Tell whether it is meant as an address, though ``://`` may be missing."""
    return _LIKE_ADDRESS.match(text) is not None


def without_secrets(uri: str) -> str:
    """Return an address with its secrets left out, however they are written, even if it is none.

    User name, password, query and fragment are left out, and control characters, so that it is one line.
    ``***`` stands for user name and password. Where an ``@`` may belong to the password or to the query,
    ``***`` stands for everything after the scheme. A path loses nothing but its control characters.
    """
    uri = _CONTROL.sub("", uri)
    found = _SCHEME.match(uri)
    if found is None and "://" not in uri and not is_like_address(uri):
        return uri  # a path
    scheme = "" if found is None else found[0]
    return scheme + _SECRET_IN_PATH.sub(r"\1***", _without_user(uri[len(scheme) :]))


def _without_user(rest: str) -> str:
    """Return host and path of what follows the scheme."""
    head, mark, tail = (*re.split(r"([?#])", rest, maxsplit=1), "", "")[:3]
    authority, slash, _ = head.partition("/")
    if "@" in tail:
        # is the tail a query with an @ in it, or is all of it, up to the @, a password with a ? in it?
        if slash and ":" not in head and "@" not in authority:
            return head
        is_password = _HOST.fullmatch(authority) is None or (mark == "#" and not slash)
        if "@" in head or tail.count("@") > 1 or not is_password:
            return "***"
        return "***@" + re.split(r"[?#]", tail.partition("@")[2])[0]
    before, at, after = head.rpartition("@")
    # an @ in the path ends a password in which a / was not written %2F, if there was a colon
    if at and ("@" in authority or ":" in before):
        return f"***@{after}"
    return head
