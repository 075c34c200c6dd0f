"""The command ``vision-agent``: parse, configure, call.

Each command imports only what it needs: the agents framework alone takes two seconds, on a small board ten.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from . import __version__
from .config import ENVIRONMENT, SOURCE_VARIABLE, Config, ServerKeys, Supervisor, load_config
from .errors import ConfigError, VisionAgentError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 on success, 1 on a failure, 2 on bad usage or configuration, 3 if a server refused us and would
        refuse us again, 128 + n if signal n ended it.
    """
    args = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if args.verbose else logging.CRITICAL)
    cv2.setNumThreads(1)  # a second thread costs half as much CPU again and is hardly faster
    try:
        return args.run(args) or 0
    except VisionAgentError as error:
        print(f"vision-agent: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _config(args: argparse.Namespace) -> Config:
    config = load_config(args.config)
    if args.model is not None:
        config = replace(config, agent=replace(config.agent, model=args.model))
    if getattr(args, "image", None):
        images = (*config.context.images, *args.image)
        config = replace(config, context=replace(config.context, images=images))
    return config


def _work(args: argparse.Namespace) -> None:
    from .worker import log_as_worker, run_worker

    dev = args.command == "dev"
    config, keys = _config(args), ServerKeys.from_environment()
    log_as_worker(dev=dev or args.verbose)
    asyncio.run(run_worker(config, keys, dev=dev))


def _demo(args: argparse.Namespace) -> None:
    from .demo.run import run_demo

    def announce(url: str) -> None:
        print(f"Open {url} in a browser. Ctrl-C stops the demo.", flush=True)

    asyncio.run(run_demo(_config(args), port=args.port, announce=announce))


async def _ask(args: argparse.Namespace) -> str:
    from .conversation import Conversation

    async with Conversation(_config(args), source=args.source) as conversation:
        answer = await conversation.ask(args.question)
    return json.dumps(answer.report()) if args.json else answer.text


def _chat(args: argparse.Namespace) -> int:
    from .terminal import chat

    return asyncio.run(chat(_config(args), source=args.source, save=args.save))


def _doctor(args: argparse.Namespace) -> int:
    from . import doctor

    findings = asyncio.run(doctor.diagnose(config_path=args.config, model=args.model))
    print(json.dumps(doctor.report(findings)) if args.json else doctor.table(findings))
    return 0 if doctor.is_fine(findings) else 1


def _publish(args: argparse.Namespace) -> None:
    from .publish.access import Access
    from .publish.command import run_publish

    uri = args.source or ENVIRONMENT.get(SOURCE_VARIABLE)
    if not uri:
        raise ConfigError(f"which source? give SOURCE, or set {SOURCE_VARIABLE}")
    config = load_config(args.config)
    given = {name: getattr(args, name) for name in ("room", "identity", "name", "metrics_port")}
    publish = replace(config.publish, **{name: value for name, value in given.items() if value is not None})
    config = replace(config, publish=publish)
    access = Access.choose(url=args.url, token=args.token, room=publish.room, identity=publish.identity)

    def say(line: str) -> None:
        print(f"vision-agent: {line}", file=sys.stderr, flush=True)

    supervisor = Supervisor.from_environment()
    asyncio.run(run_publish(config, uri, access, encode=args.encode, supervisor=supervisor, say=say))


def _bench(args: argparse.Namespace) -> int:
    from .bench.beside import beside
    from .bench.command import bench, missed
    from .bench.markdown import render

    if args.markdown is not None:
        print(render(args.markdown))
        return 0
    if args.beside is not None:
        print(beside(args.beside))
        return 0
    found = asyncio.run(bench(quick=args.quick, only=args.only, with_peers=args.peers, output=args.output))
    return 1 if args.strict and missed(found) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision-agent", description="Eyes for LiveKit agents.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("-v", "--verbose", action="store_true", help="debug log on stderr")
    commands = parser.add_subparsers(dest="command", required=True)
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument("--config", type=Path, metavar="FILE", help="settings, as configs/default.toml")
    configured.add_argument(
        "--model", metavar="NAME", help="offline or google/<model>, instead of agent.model"
    )
    looking = argparse.ArgumentParser(add_help=False)
    looking.add_argument("--source", default="testcard://", metavar="URI", help="default: testcard://")
    looking.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="FILE_OR_URL",
        help="a picture the model has from the start, beside context.images; can be repeated",
    )
    ask = commands.add_parser("ask", parents=[configured, looking], help="ask one question about a source")
    ask.add_argument("--json", action="store_true", help="one JSON object on stdout")
    ask.add_argument("question", metavar="QUESTION")
    ask.set_defaults(run=lambda args: print(asyncio.run(_ask(args))))
    chat = commands.add_parser("chat", parents=[configured, looking], help="talk about a source")
    chat.add_argument("--save", type=Path, metavar="DIR", help="let the agent keep marked pictures there")
    chat.set_defaults(run=_chat)

    check = commands.add_parser("doctor", parents=[configured], help="check every part, say what to do")
    check.add_argument("--json", action="store_true", help="one JSON object on stdout")
    check.set_defaults(run=_doctor)

    keys = "for the server of LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
    start = commands.add_parser("start", parents=[configured], help=f"worker {keys}: JSON log, rooms drained")
    start.set_defaults(run=_work)
    dev = commands.add_parser("dev", parents=[configured], help=f"worker {keys}: debug log, stops at once")
    dev.set_defaults(run=_work)
    demo = commands.add_parser("demo", parents=[configured], help="server, agent and a page, on this machine")
    demo.add_argument("--port", type=int, default=0, help="of the page on 127.0.0.1; default: any free one")
    demo.set_defaults(run=_demo)
    publish = commands.add_parser("publish", help="bring a source into a room, as a camera")
    publish.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help=f"URI, as --source of ask; default: {SOURCE_VARIABLE}, which is not on the process list",
    )
    publish.add_argument("--config", type=Path, metavar="FILE", help="settings, as configs/default.toml")
    publish.add_argument("--url", help="of the LiveKit server; default: LIVEKIT_URL")
    publish.add_argument(
        "--token", help="ready token; default: LIVEKIT_TOKEN, or one made with LIVEKIT_API_KEY and _SECRET"
    )
    publish.add_argument("--room", metavar="NAME", help="instead of publish.room; a token names its own")
    publish.add_argument("--identity", metavar="NAME", help="instead of publish.identity")
    publish.add_argument("--name", help="of the track, instead of publish.name")
    publish.add_argument("--encode", action="store_true", help="encode even what could pass through")
    publish.add_argument(
        "--metrics-port", type=int, metavar="PORT", help="serve /metrics and /health; 0 is any free one"
    )
    publish.set_defaults(run=_publish)
    bench_command = commands.add_parser("bench", help="measure what pictures cost on this machine")
    bench_command.add_argument("--quick", action="store_true", help="fewer rounds, under a minute")
    bench_command.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these parts only")
    bench_command.add_argument("--peers", action="store_true", help="the peers too; installs them first")
    bench_command.add_argument("--strict", action="store_true", help="exit 1 if a target is missed")
    bench_command.add_argument(
        "--output", type=Path, default=Path("benchmarks/results"), metavar="DIR", help="for JSON and plots"
    )
    bench_command.add_argument(
        "--markdown", type=Path, metavar="JSON", help="measure nothing: print this report as Markdown tables"
    )
    bench_command.add_argument(
        "--beside", type=Path, metavar="JSON", help="the same, only the few figures of the README"
    )
    bench_command.set_defaults(run=_bench)
    return parser
