from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import blockbuster_ctx

from vision_agent.demo.server import LocalServer

from .servers import needs_gstreamer

# Runs after the SDK's own end, since it is registered before: a native thread that calls Python while the
# interpreter goes away aborts the process, whatever the tests said.
atexit.register(threading.Event().wait, 0.5)

MAY_BLOCK = {  # at the start or on the side, where no picture waits
    "vision_agent/bench/command.py": {"bench"},
    "vision_agent/bench/load.py": {"resident_mb"},
    "vision_agent/bench/markdown.py": {"read_report"},
    "vision_agent/bench/peers.py": {"run", "python_of", "encode_all"},
    "vision_agent/demo/server.py": {"find_binary"},
    "vision_agent/doctor.py": {"diagnose", "cameras", "model_of", "_config"},
    "vision_agent/models/__init__.py": {"open_model"},
    "vision_agent/sources/uri.py": {"build"},
}


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
    before = asyncio.all_tasks()
    yield
    for _ in range(20):  # a cancelled task needs a turn of the loop to end
        leaked = [t for t in asyncio.all_tasks() - before if not t.done() and t is not asyncio.current_task()]
        if not leaked:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"leaked tasks: {[t.get_name() for t in leaked]}")


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with LocalServer() as running:
        yield running


@pytest.fixture(scope="session")
def gstreamer() -> None:
    needs_gstreamer()
