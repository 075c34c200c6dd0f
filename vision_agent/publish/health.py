"""Reports about a publisher: a line for people, numbers for Prometheus."""

from __future__ import annotations

import os
from dataclasses import fields
from types import TracebackType

from aiohttp import web

from ..errors import ServerError
from .counts import PublishCounts
from .publisher import Publisher, PublishState


class Rates:
    """Computes rates from counts that only grow; time is an argument."""

    def __init__(self) -> None:
        self._before: tuple[float, int, int] | None = None
        self.fps = self.kbps = 0.0

    def note(self, counts: PublishCounts, now_s: float) -> None:
        """Note the current counts; the rates are those since the last call."""
        before, self._before = self._before, (now_s, counts.wire_pictures, counts.wire_bytes)
        if before is not None and now_s > before[0]:
            self.fps = (counts.wire_pictures - before[1]) / (now_s - before[0])
            self.kbps = 8 * (counts.wire_bytes - before[2]) / (now_s - before[0]) / 1000


def health_line(state: PublishState, rates: Rates) -> str:
    """Return the state in one line."""
    counts = state.counts
    size = "x".join(map(str, state.size_wh)) if state.size_wh else "?"
    parts = [
        f"room {state.room or '-'} as {state.identity or '-'}",
        f"{state.route or 'unknown'} {size}",
        f"{rates.fps:.1f} fps, {rates.kbps:.0f} kbit/s" if state.watched else "nobody watches",
        f"dropped {counts.dropped}",
        f"keys asked {counts.keys_asked}",
        f"reconnects {counts.reconnects}",
    ]
    if counts.bridges:
        parts.append(f"bridged {counts.bridges}")
    if counts.thinned:
        parts.append(f"left out {counts.thinned}")
    if counts.source_failures:
        parts.append(f"source failed {counts.source_failures}")
    if state.problem is not None:
        parts.append(f"PROBLEM {state.problem}")
    return " | ".join(parts)


def metrics_text(state: PublishState) -> str:
    """Return the counts in the text format of Prometheus."""
    lines = []
    for each in fields(PublishCounts):
        name = f"vision_agent_publish_{each.name}_total"
        lines += [f"# TYPE {name} counter", f"{name} {getattr(state.counts, each.name)}"]
    flags = {
        "published": state.published,
        "watched": state.watched,
        "passthrough": state.route == "passthrough",
        "healthy": state.flows,
    }
    for flag, value in flags.items():
        lines += [f"# TYPE vision_agent_publish_{flag} gauge", f"vision_agent_publish_{flag} {int(value)}"]
    return "\n".join(lines) + "\n"


class HealthServer:
    """Serves ``/metrics`` and ``/health``: 200 while pictures are sent or coming back, else 503.

    Args:
        publisher: The publisher to report about.
        host: Address to listen on.
        port: Port; 0 is any free one.
    """

    def __init__(self, publisher: Publisher, *, host: str, port: int) -> None:
        self.url = ""
        self._publisher, self._host, self._port = publisher, host, port
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/health", self._health)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> HealthServer:
        """Start serving.

        Raises:
            ServerError: The port can't be used.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno or 0).lower()
            raise ServerError(
                f"port {self._port} of {self._host} can't be used: {reason}; choose another: --metrics-port"
            ) from error
        self.url = f"http://{self._host}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop serving."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=metrics_text(self._publisher.state), content_type="text/plain")

    async def _health(self, request: web.Request) -> web.Response:
        state = self._publisher.state
        answer = {"healthy": state.flows, "published": state.published, "problem": state.problem}
        return web.json_response(answer, status=200 if state.flows else 503)
