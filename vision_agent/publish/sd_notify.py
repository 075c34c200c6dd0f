"""Reports the state to systemd: sd_notify(3), on the socket that systemd names."""

from __future__ import annotations

import logging
import socket

logger = logging.getLogger(__name__)


class Notifier:
    """Sends to systemd's socket; does nothing without one.

    Args:
        address: The socket's path, or with ``@`` its abstract name; empty without systemd.
    """

    def __init__(self, address: str = "") -> None:
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Report that the start is complete."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Report the state in one line, for ``systemctl status``."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Report that the service works; systemd restarts a service that does not report in time."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:
            logger.warning("the message to systemd could not be sent", extra={"reason": error.strerror})
