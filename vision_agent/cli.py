"""The command ``vision-agent``: parse, configure, call."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from livekit.agents import AgentSession
from livekit.agents.voice.run_result import RunResult

from . import __version__
from .agent import VisionAgent
from .config import Config, ServerKeys, load_config
from .context import View
from .errors import ConfigError, VisionAgentError
from .models import open_model
from .vision import Vision
from .worker import log_as_worker, run_worker


class _RecordingVision(Vision):
    """Remembers what the last look gave, for the answer's report."""

    last: Sequence[View] = ()

    async def look(self) -> list[View]:
        views = await super().look()
        self.last = views
        return views


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 if all went well, 1 on a failure, 2 on bad usage or configuration.
    """
    args = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if args.verbose else logging.ERROR)
    try:
        args.run(args)
    except ConfigError as error:
        print(f"vision-agent: {error}", file=sys.stderr)
        return 2
    except VisionAgentError as error:
        print(f"vision-agent: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _config(args: argparse.Namespace) -> Config:
    config = load_config(args.config)
    return config if args.model is None else replace(config, agent=replace(config.agent, model=args.model))


def _work(args: argparse.Namespace) -> None:
    dev = args.command == "dev"
    config, keys = _config(args), ServerKeys.from_environment()
    log_as_worker(dev=dev or args.verbose)
    asyncio.run(run_worker(config, keys, dev=dev))


async def _ask(args: argparse.Namespace) -> str:
    vision = _RecordingVision(source=args.source)
    async with vision, open_model(args.model) as model:
        await vision.opened()
        async with AgentSession[Any](llm=model) as session:
            await session.start(VisionAgent(vision=vision))
            started_s = time.perf_counter()
            result: RunResult[Any] = await session.run(user_input=args.question)
            latency_ms = (time.perf_counter() - started_s) * 1000
            messages = [e.item for e in result.events if e.type == "message"]
            answer = messages[-1].text_content or "" if messages else ""
    if not answer:
        raise VisionAgentError(f"model {args.model!r} gave no answer; run again with --verbose")
    if not args.json:
        return answer
    images = [
        {
            "source": view.name,
            "age_ms": round((view.age_s or 0.0) * 1000, 1),
            "width": view.image.width,
            "height": view.image.height,
            "bytes": len(view.image.data),
            "mime_type": view.image.mime_type,
        }
        for view in vision.last
        if view.image is not None
    ]
    return json.dumps({"answer": answer, "images": images, "latency_ms": round(latency_ms, 1)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision-agent", description="Eyes for LiveKit agents.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("-v", "--verbose", action="store_true", help="debug log on stderr")
    commands = parser.add_subparsers(dest="command", required=True)
    ask = commands.add_parser("ask", help="ask one question about a source")
    ask.add_argument("--source", default="testcard://", metavar="URI", help="default: testcard://")
    ask.add_argument("--model", default="offline", metavar="NAME", help="offline or google/<model>")
    ask.add_argument("--json", action="store_true", help="one JSON object on stdout")
    ask.add_argument("question", metavar="QUESTION")
    ask.set_defaults(run=lambda args: print(asyncio.run(_ask(args))))

    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument("--config", type=Path, metavar="FILE", help="settings, as configs/default.toml")
    configured.add_argument(
        "--model", metavar="NAME", help="offline or google/<model>, instead of agent.model"
    )
    keys = "for the server of LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
    start = commands.add_parser("start", parents=[configured], help=f"worker {keys}: JSON log, rooms drained")
    start.set_defaults(run=_work)
    dev = commands.add_parser("dev", parents=[configured], help=f"worker {keys}: debug log, stops at once")
    dev.set_defaults(run=_work)
    return parser
