from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import blockbuster_ctx

from vision_agent.testing.server import LocalServer

from .servers import needs_gstreamer

# Runs after the SDK's own end, since it is registered before: a native thread that calls Python while the
# interpreter goes away aborts the process, whatever the tests said.
atexit.register(threading.Event().wait, 0.5)

TASK_ENDS_S = 2.0
"""How long what a test left may take to end by itself, in seconds."""

MAY_BLOCK = {  # at the start or on the side, where no picture waits
    "vision_agent/bench/command.py": {"bench"},
    "vision_agent/bench/load.py": {"resident_mb"},
    "vision_agent/bench/markdown.py": {"read_report"},
    "vision_agent/bench/peers.py": {"run", "python_of", "encode_all"},
    "vision_agent/testing/server.py": {"find_binary"},
    "vision_agent/doctor.py": {"diagnose", "cameras", "model_of", "_config"},
    "vision_agent/models/__init__.py": {"open_model"},
    "vision_agent/publish/access.py": {"default_identity"},
    "vision_agent/sources/uri.py": {"build"},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes the fixture ``server``; a test that starts livekit-server itself is marked in place."""
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.server)


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Files, sockets, locks and sleeps of the package on the event loop raise ``BlockingError``."""
    with blockbuster_ctx(scanned_modules="vision_agent") as guard:
        for function in guard.functions.values():
            for path, names in MAY_BLOCK.items():
                function.can_block_in(path, names)
        yield


@pytest.fixture(autouse=True)
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Every task of a test ends with it; a room's own a moment later, when its last event has come."""
    before = asyncio.all_tasks() | {asyncio.current_task()}
    yield
    if left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        await asyncio.wait(left, timeout=TASK_ENDS_S)
    leaked = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not leaked, f"leaked tasks: {leaked}"


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with LocalServer() as running:
        yield running


@pytest.fixture(scope="session")
def gstreamer() -> None:
    needs_gstreamer()
