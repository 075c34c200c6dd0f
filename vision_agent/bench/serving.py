"""The child's end of ``child``: answers one JSON object per line. Needs only the standard library."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def requests() -> dict[str, Any] | None:
    """Return the next object from stdin, or None once it is closed."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return dict(json.loads(line)) if line else None


def answer(answered: dict[str, Any]) -> None:
    """Write one object to stdout."""
    print(json.dumps(answered), flush=True)


async def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer each request with the handler that its ``do`` names, until stdin closes."""
    while (request := await requests()) is not None:
        try:
            answer(await handlers[request["do"]](request))
        except Exception as error:  # report whatever a peer raises
            answer({"error": f"{request['do']}: {type(error).__name__}: {error}"})
