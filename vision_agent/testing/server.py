"""A local livekit-server on loopback, for the demo, the tests and the benchmarks."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from livekit import api

from ..config import ENVIRONMENT, ServerKeys
from ..errors import ConfigError, ServerError
from ..waiting import within

CACHED_BINARY = Path(".cache/livekit-server-1.11.0/livekit-server")
"""Where ``make`` builds it, relative to the project's root."""

CONFIG_VARIABLE = "LIVEKIT_CONFIG"
"""Environment variable that livekit-server reads its configuration from."""

TRIES = 3
"""How many times we try to start it, each time on other ports."""


class LocalServer:
    """Starts a livekit-server on free loopback ports with its own key; stops it at the end.

    Args:
        port: Port for signalling; 0: any free one.
        api_secret: Secret of its key; empty: a new one.

    Raises:
        ConfigError: There is no livekit-server on ``PATH`` or in the cache.
        ServerError: The server did not come up.
    """

    def __init__(self, *, port: int = 0, api_secret: str = "") -> None:
        self.api_key = "local"
        self.api_secret = api_secret or secrets.token_hex(24)
        self._port = port
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> LocalServer:
        """Start, and wait until it listens; try again, because another program may take the port first."""
        binary = find_binary()
        for _ in range(TRIES):
            if await self._start(binary):
                return self
        raise ServerError(f"livekit-server was started {TRIES} times and ended each time")

    async def _start(self, binary: Path) -> bool:
        port = self._port or _free_port()
        self.url = f"ws://127.0.0.1:{port}"
        config = {
            "port": port,
            "bind_addresses": ["127.0.0.1"],
            "keys": {self.api_key: self.api_secret},
            "logging": {"level": "error"},
            "rtc": {
                "tcp_port": 0,  # no media over TCP: that would listen on all interfaces
                "port_range_start": 40000,
                "port_range_end": 49999,
                "node_ip": "127.0.0.1",
                "use_external_ip": False,
                "enable_loopback_candidate": True,
                "interfaces": {"includes": ["lo"]},
                "ips": {"includes": ["127.0.0.1/32"]},
                "stun_servers": ["127.0.0.1:3478"],
            },
        }
        self._process = await asyncio.create_subprocess_exec(
            str(binary),
            # every user of this machine can read a command line, so the secret is not there; JSON is YAML
            env={**ENVIRONMENT, CONFIG_VARIABLE: json.dumps(config)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches only us, and the server ends last
        )
        for _ in range(100):
            if self._process.returncode is not None:
                return False
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return True
            await asyncio.sleep(0.1)
        await self.aclose()
        raise ServerError(f"livekit-server did not listen on 127.0.0.1:{port} within 10 s")

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop the server."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the server's process and wait for it; safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        for ask in (process.terminate, process.terminate, process.kill):  # the second signal ends open rooms
            with suppress(ProcessLookupError):
                ask()
            with suppress(asyncio.TimeoutError):
                await within(2, process.wait())
                return

    @property
    def keys(self) -> ServerKeys:
        """The server's address and key."""
        return ServerKeys(url=self.url, api_key=self.api_key, api_secret=self.api_secret)

    async def wait(self) -> None:
        """Wait until the server's process ends."""
        if self._process is not None:
            await self._process.wait()

    def token(self, identity: str, room: str, *, agent_name: str = "") -> str:
        """Return a token that lets ``identity`` join ``room``; a new room asks for the named agent."""
        token = api.AccessToken(self.api_key, self.api_secret).with_identity(identity)
        token = token.with_grants(api.VideoGrants(room_join=True, room=room))
        if agent_name:
            agents = [api.RoomAgentDispatch(agent_name=agent_name)]
            token = token.with_room_config(api.RoomConfiguration(agents=agents))
        return token.to_jwt()


def find_binary() -> Path:
    """Return the livekit-server on ``PATH``, else the cached one.

    Raises:
        ConfigError: There is none.
    """
    on_path = shutil.which("livekit-server")
    binary = Path(on_path) if on_path else CACHED_BINARY.absolute()
    if not binary.is_file():
        raise ConfigError("livekit-server is not on PATH and not in .cache: run `make server` (needs Go)")
    return binary


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
