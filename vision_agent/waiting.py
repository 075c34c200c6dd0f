"""Functions that wait, with a time limit or for the end of a task, and never swallow a cancellation.

Before Python 3.12 ``asyncio.wait_for`` may swallow one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def within(timeout_s: float, coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine for at most ``timeout_s``.

    Raises:
        asyncio.TimeoutError: It took longer, so it was cancelled.
    """
    task = asyncio.create_task(coroutine)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise asyncio.TimeoutError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    return task.result()


async def ended(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until they have ended; the wait itself can be cancelled.

    This does not raise a task's own error: the owner of the task logs it.
    """
    left = {task for task in tasks if task is not None}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)


async def either(*events: asyncio.Event, timeout_s: float | None = None) -> None:
    """Wait until one of the events is set, but at most for ``timeout_s``."""
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
