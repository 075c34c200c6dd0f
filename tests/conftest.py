from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import blockbuster_ctx

from vision_agent.testing.server import LocalServer

from .servers import needs_gstreamer

# This runs after the SDK's own exit handler, because we register it first. If a native thread calls Python
# while the interpreter ends, the process aborts, even if all tests have passed.
atexit.register(threading.Event().wait, 0.5)

TASK_ENDS_S = 2.0
"""How long what a test left may take to end by itself, in seconds."""

MAY_BLOCK = {  # at the start, or where no picture has to wait
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


ALONE = {
    *("test_bench", "test_bench_peers", "test_bench_room", "test_choice", "test_fault_rounds", "test_memory"),
    *("test_publish", "test_room", "test_rtsp", "test_tracks", "test_watcher"),
}
"""Files whose tests measure time or memory: no other test runs beside them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run alone, and those that use the fixture ``server``.

    Tests that start livekit-server have their own mark.
    """
    for item in items:
        if item.path.stem in ALONE:
            item.add_marker(pytest.mark.alone)
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
    """Every task of a test must end with it; a room's own tasks end shortly after, with its last event."""
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
