"""A background job that continues after an error."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from .backoff import Backoff

logger = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.25, 10.0
STEADY_S = 30.0
"""How long a job must run before its next failure counts as the first one again, in seconds."""


async def lasting(job: Callable[[], Awaitable[None]], *, name: str) -> None:
    """Run a job until it returns; if it fails, log the error, wait and run it again.

    Args:
        job: Called again after each failure.
        name: Its name in the log.
    """
    retry, known = Backoff(RETRY_FIRST_S, RETRY_MAX_S), ""
    while True:
        begun_s = time.monotonic()
        try:
            return await job()
        except Exception as error:  # whatever it is, the next attempt may succeed
            if time.monotonic() - begun_s > STEADY_S:
                retry.reset()
            wait_s, kind = retry.next_s(), type(error).__name__
            level = logging.DEBUG if kind == known else logging.ERROR
            logger.log(level, "%s failed, trying again in %g s", name, wait_s, exc_info=error)
            known = kind
            await asyncio.sleep(wait_s)
