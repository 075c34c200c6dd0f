"""Telling systemd how it goes: sd_notify(3), on the socket it names."""

from __future__ import annotations

import logging
import socket

logger = logging.getLogger(__name__)


class Notifier:
    """Sends to systemd's socket; does nothing where there is none.

    Args:
        address: The socket's path, or with ``@`` its abstract name; empty where systemd is not there.
    """

    def __init__(self, address: str = "") -> None:
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Say that the start is done."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Say in one line how it goes, for ``systemctl status``."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Say that all goes well; systemd restarts a service that does not say so in time."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Let go of the socket; may be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:
            logger.warning("systemd was not told", extra={"reason": error.strerror})
