"""``vision-agent demo``: server, agent and page on one machine, stopped together."""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Callable
from dataclasses import replace

from livekit.agents import JobExecutorType

from ..config import Config
from ..errors import ServerError, check_range
from ..signals import stop_signals
from ..testing.server import LocalServer
from ..worker import check_agent, make_worker
from .site import HOST, Site, check_page

AGENT_NAME = "vision-agent-demo"
REGISTER_TIMEOUT_S = 60.0
"""How long the agent may take to be ready, in seconds; a small board is slow to start."""


async def run_demo(config: Config, *, port: int = 0, announce: Callable[[str], None]) -> None:
    """Run the demo until a signal asks to stop.

    Args:
        config: Settings of the agent; ``worker`` is not used.
        port: The page's port on 127.0.0.1; 0 is any free one.
        announce: Called once with the page's address, when a browser can open it.

    Raises:
        ConfigError: The port is invalid, or the page, the server's binary, the model or a picture is missing.
        SourceError: A picture for the start can't be fetched.
        ImageError: A file for the start is not a picture.
        ServerError: A part did not start, or ended on its own.
    """
    check_range("--port", port, 0, 65535)
    await check_agent(config)
    check_page()
    local = replace(config.worker, agent_name=AGENT_NAME, health_host=HOST)
    with stop_signals() as asked:
        async with (
            LocalServer() as server,
            Site(server, model=config.agent.model, agent_name=AGENT_NAME, port=port) as site,
        ):
            # threads, not processes: no process is left behind, and a room opens immediately
            worker = make_worker(
                replace(config, worker=local), server.keys, dev=True, executor=JobExecutorType.THREAD
            )
            registered = asyncio.Event()
            worker.once("worker_registered", lambda *_: registered.set())
            stop = asyncio.create_task(asked.get(), name="demo: signal")
            ready = asyncio.create_task(registered.wait(), name="demo: registered")
            gone = asyncio.create_task(server.wait(), name="demo: livekit-server")
            running = asyncio.create_task(worker.run(devmode=True), name="demo: worker")
            try:
                await asyncio.wait(
                    {stop, gone, running, ready}, timeout=REGISTER_TIMEOUT_S, return_when=FIRST_COMPLETED
                )
                if ready.done():
                    announce(site.url)
                    await asyncio.wait({stop, gone, running}, return_when=FIRST_COMPLETED)
                if not stop.done():
                    raise ServerError(_what_ended(gone=gone.done(), ready=ready.done()))
            finally:
                stop.cancel()
                ready.cancel()
                gone.cancel()
                await worker.aclose()
                await asyncio.gather(stop, ready, gone, running, return_exceptions=True)


def _what_ended(*, gone: bool, ready: bool) -> str:
    if gone:
        return "livekit-server ended on its own; start the demo again"
    if ready:
        return "the agent's worker ended on its own; run again with --verbose to see why"
    return f"the agent was not ready within {REGISTER_TIMEOUT_S:g} s; run again with --verbose to see why"
