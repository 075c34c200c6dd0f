from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import blockbuster_ctx
from livekit.rtc._ffi_client import FfiClient

MAY_BLOCK = {  # at the start or on the side, where no picture waits
    "vision_agent/bench/command.py": {"bench"},
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


def pytest_unconfigure() -> None:
    """End livekit's native threads while Python still lives.

    One that calls back while the interpreter shuts down aborts the process, whatever the tests said: rooms
    that a failed test's traceback keeps alive make that likely.
    """
    if FfiClient._instance is not None:
        FfiClient._instance._dispose()
        time.sleep(0.3)  # a call under way comes back
