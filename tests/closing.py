"""The real worker, with sessions that a test can close from outside."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from livekit import rtc
from livekit.agents import JobContext

from vision_agent import worker
from vision_agent.config import Config, ServerKeys, load_config

own = worker.entrypoint


async def entrypoint(ctx: JobContext, *, config: Config) -> None:
    """Answer as usual, until a packet arrives on the topic ``close``."""
    await own(ctx, config=config)

    def on_data(packet: rtc.DataPacket) -> None:
        if packet.topic == "close":
            ctx.primary_session.shutdown(drain=False)

    ctx.room.on("data_received", on_data)


def main() -> None:
    """Work as ``vision-agent start --config ARGUMENT``."""
    worker.entrypoint = entrypoint
    config = load_config(Path(sys.argv[1]))
    worker.log_as_worker(dev=False)
    asyncio.run(worker.run_worker(config, ServerKeys.from_environment(), dev=False))
