"""The demo's page and its tokens, served on loopback only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType

from aiohttp import web

from ..errors import ConfigError, ServerError
from ..testing.server import LocalServer

PAGE = Path(__file__).parent / "page"
"""Where ``make page`` puts the built page."""
HOST = "127.0.0.1"
VISITOR = "visitor"
"""The identity of the person who opens the page; each page load has its own room."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    f"connect-src 'self' ws://{HOST}:* http://{HOST}:*; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Site:
    """Serves the page at ``/`` and a room with its token at ``/token``.

    Args:
        server: The livekit-server the tokens are for.
        model: Name of the model, which the page shows.
        agent_name: The agent that each new room asks for.
        port: Port on 127.0.0.1; 0 is any free one.
        page: Folder of the built page.

    Raises:
        ConfigError: The page is not built.
    """

    def __init__(
        self, server: LocalServer, *, model: str, agent_name: str, port: int = 0, page: Path = PAGE
    ) -> None:
        check_page(page)
        self.url = ""
        self._server, self._model, self._agent_name, self._port = server, model, agent_name, port
        self._names: frozenset[str] = frozenset()
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/token", self._token)
        app.router.add_get("/", self._index(page / "index.html"))
        app.router.add_static("/", page)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Site:
        """Start serving.

        Raises:
            ServerError: The port can't be used.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno or 0).lower()
            way_out = "choose another with --port"
            raise ServerError(f"port {self._port} of {HOST} can't be used: {reason}; {way_out}") from error
        port = self._runner.addresses[0][1]
        self.url = f"http://{HOST}:{port}"
        self._names = frozenset({f"{HOST}:{port}", f"localhost:{port}"})
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop serving."""
        await self._runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # a host name that somebody else's DNS points at loopback must not get a token
        if request.headers.get("Host") not in self._names:
            raise web.HTTPForbidden(text=f"open {self.url}\n")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise web.HTTPForbidden(text="only for the demo's own page\n")
        response = await handler(request)
        response.headers.update(_HEADERS)
        return response

    @staticmethod
    def _index(path: Path) -> Callable[[web.Request], Awaitable[web.FileResponse]]:
        async def index(request: web.Request) -> web.FileResponse:
            return web.FileResponse(path)

        return index

    async def _token(self, request: web.Request) -> web.Response:
        room = f"demo-{secrets.token_hex(8)}"
        token = self._server.token(VISITOR, room, agent_name=self._agent_name)
        return web.json_response(
            {
                "url": self._server.url,
                "token": token,
                "room": room,
                "identity": VISITOR,
                "model": self._model,
            }
        )


def check_page(page: Path = PAGE) -> None:
    """Check that the page is built.

    Raises:
        ConfigError: It is not.
    """
    if not (page / "index.html").is_file():
        raise ConfigError("the demo's page is not built: run `make page` (needs npm)")
