"""How a publisher gets into a room, and what a server's refusal means."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final

from livekit import api, rtc

from ..config import ENVIRONMENT, TOKEN_VARIABLE, ServerKeys, check_url
from ..errors import ConfigError, ServerError
from ..redaction import without_secrets

TOKEN_TTL = timedelta(hours=6)
"""How long a token that we make is valid; each join makes a new one."""
CAMERA_ONLY = api.VideoGrants(
    room_join=True,
    can_publish=True,
    can_publish_sources=["camera"],
    can_publish_data=False,
    can_subscribe=False,
)
"""What a device may do: publish its camera. It can't subscribe, and can't send a question to an agent."""
DEVICE: Final = "ingress"
"""LiveKit's kind for participants that only publish: an agent never treats one as the person it talks to."""


class Refused(ServerError):
    """The server refuses us, and neither another attempt nor a restart would change that."""

    exit_code = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The way into one room: a ready token, or the key to make one.

    Raises:
        ConfigError: Both are missing, or there is no room to make a token for.
    """

    url: str = field(repr=False)
    """``ws://`` or ``wss://`` address of the server; ``shown`` is for messages."""
    token: str | None = field(default=None, repr=False)
    """A ready token, which itself names room and identity."""
    keys: ServerKeys | None = None
    """The server's key, to make a token whenever one is needed."""
    room: str = ""
    """The room to make a token for."""
    identity: str = ""
    """The identity to make a token for; empty: ``default_identity``."""

    def __post_init__(self) -> None:
        """Check that there is a way into a room."""
        if self.token is None and self.keys is None:
            raise ConfigError(
                "no way into a room: give --token, or set LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
            )
        if self.token is None and not self.room:
            raise ConfigError("which room? give --room, or publish.room in the config")

    @classmethod
    def choose(
        cls,
        *,
        url: str | None = None,
        token: str | None = None,
        room: str = "",
        identity: str = "",
        environment: Mapping[str, str] = ENVIRONMENT,
    ) -> Access:
        """Use the arguments, and ``LIVEKIT_URL``, ``LIVEKIT_TOKEN``, key and secret for what they leave out.

        Raises:
            ConfigError: Something is missing or can't be used.
        """
        token = token or environment.get(TOKEN_VARIABLE) or None
        if token is None:
            named = {**environment, **({"LIVEKIT_URL": url} if url else {})}
            keys = ServerKeys.from_environment(named)
            return cls(url=keys.url, keys=keys, room=room, identity=identity)
        url = url or environment.get("LIVEKIT_URL") or ""
        check_url(url)
        return cls(url=url, token=token)

    @property
    def shown(self) -> str:
        """The server's address without secrets."""
        return without_secrets(self.url)

    def ticket(self) -> str:
        """Return a valid token: the given one, or a new one with ``CAMERA_ONLY``."""
        if self.token is not None:
            return self.token
        assert self.keys is not None
        token = api.AccessToken(self.keys.api_key, self.keys.api_secret)
        token.with_grants(replace(CAMERA_ONLY, room=self.room)).with_kind(DEVICE)
        return token.with_identity(self.identity or default_identity()).with_ttl(TOKEN_TTL).to_jwt()

    def explain(self, error: rtc.ConnectError) -> ServerError:
        """Make one line from the SDK's error, whose own text contains the token.

        Returns:
            ``Refused`` if another attempt is useless, otherwise ``ServerError``.
        """
        text = error.message.lower()
        if "expired" in text:
            return Refused(f"{self.shown}: the token has expired: make a new one, or give key and secret")
        if "permissions denied" in text:
            return Refused(f"{self.shown}: the token is not for joining a room: make one with roomJoin")
        if "401" in text or "unauthorized" in text or "invalid token" in text:
            what = "the token" if self.token is not None else "the API key or secret"
            way_out = "make one with this server's key" if self.token is not None else "check both"
            return Refused(f"{self.shown} refuses {what}: {way_out}")
        reason = next((words for part, words in _REASONS if part in text), "it can't be joined")
        return ServerError(f"no LiveKit server at {self.shown}: {reason}; check LIVEKIT_URL and the network")


_REASONS = (
    ("connection refused", "connection refused"),
    ("lookup", "its name isn't known"),
    ("timed out", "no answer"),
    ("404", "it answers, but not as LiveKit"),
    ("http", "it answers, but not as LiveKit"),
)

_REASON = rtc.DisconnectReason


def farewell(reason: rtc.DisconnectReason.ValueType, identity: str) -> ServerError:
    """Return the error for a lost room: ``Refused`` if joining again would be wrong."""
    if reason == _REASON.DUPLICATE_IDENTITY:
        return Refused(f"another participant joined as {identity}: give each publisher its own --identity")
    if reason == _REASON.PARTICIPANT_REMOVED:
        return Refused(f"{identity} was removed from the room by the server")
    words = {
        _REASON.SERVER_SHUTDOWN: "the server shuts down",
        _REASON.ROOM_DELETED: "the room was deleted",
        _REASON.ROOM_CLOSED: "the room was closed",
    }
    return ServerError(words.get(reason, "the connection to the server is lost"))


@cache
def default_identity(machine_id: Path = Path("/etc/machine-id")) -> str:
    """Return an identity that stays the same, and differs on another machine with the same name.

    Args:
        machine_id: systemd's file with the id of this machine; only its hash is shown. Without the file,
            as in a container, the identity consists of the host's name alone.
    """
    name = f"camera-{socket.gethostname() or 'host'}"
    try:
        known = machine_id.read_bytes().strip()
    except OSError:
        known = b""
    return f"{name}-{hashlib.sha256(b'vision-agent ' + known).hexdigest()[:6]}" if known else name
