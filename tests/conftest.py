from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncIterator

import pytest

# before the SDK registers its end, so after it: its threads may be calling Python still
atexit.register(threading.Event().wait, 0.5)


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
