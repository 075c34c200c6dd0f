"""Addresses for messages and logs: without user name, password, query and fragment."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[^/\\@?#]*://|(rtsps?|https?|wss?):/?", re.IGNORECASE)
_LIKE_ADDRESS = re.compile(r"(rtsps?|https?|wss?):|(.*//)?[^/\\]+:[^/\\]*@", re.IGNORECASE)
_HOST = re.compile(r"(\[[^]/]*]|[^:[/]*)(:\d*)?")
_SECRET_IN_PATH = re.compile(
    r"((?:user|usr|login|pass|pwd|token|key|auth|secret)[^/=]*=)[^/]*", re.IGNORECASE
)
"""Some cameras have this form: ``rtsp://host/user=admin_password=secret_channel=1``."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def is_like_address(text: str) -> bool:
    """Return whether this is meant as an address, even if ``://`` is missing."""
    return _LIKE_ADDRESS.match(text) is not None


def without_secrets(uri: str) -> str:
    """Return an address without its secrets, however they are written, even if the address is not valid.

    This removes user name, password, query and fragment, and control characters, so that the result is one
    line. ``***`` replaces user name and password. If an ``@`` may belong to the password or to the query,
    ``***`` replaces everything after the scheme. From a path only the control characters are removed.
    """
    uri = _CONTROL.sub("", uri)
    found = _SCHEME.match(uri)
    if found is None and "://" not in uri and not is_like_address(uri):
        return uri  # a path
    scheme = "" if found is None else found[0]
    return scheme + _SECRET_IN_PATH.sub(r"\1***", _without_user(uri[len(scheme) :]))


def _without_user(rest: str) -> str:
    """Return host and path from the text after the scheme."""
    head, mark, tail = (*re.split(r"([?#])", rest, maxsplit=1), "", "")[:3]
    authority, slash, _ = head.partition("/")
    if "@" in tail:
        # either the tail is a query that contains an @, or everything before the @ is a password with a ?
        if slash and ":" not in head and "@" not in authority:
            return head
        is_password = _HOST.fullmatch(authority) is None or (mark == "#" and not slash)
        if "@" in head or tail.count("@") > 1 or not is_password:
            return "***"
        return "***@" + re.split(r"[?#]", tail.partition("@")[2])[0]
    before, at, after = head.rpartition("@")
    # after a colon, an @ in the path ends a password that contains a / (which should be written %2F)
    if at and ("@" in authority or ":" in before):
        return f"***@{after}"
    return head
