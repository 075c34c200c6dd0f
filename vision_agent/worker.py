"""The LiveKit worker: joins the rooms that the server gives it. ``entrypoint`` is the whole pipeline."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import aiohttp
import cv2
from google.protobuf.message import DecodeError
from livekit import api
from livekit.agents import (
    AgentServer,
    AgentSession,
    AutoSubscribe,
    CloseEvent,
    CloseReason,
    JobContext,
    JobExecutorType,
    llm,
    room_io,
)

from .agent import VisionAgent
from .config import Config, ServerKeys
from .errors import ServerError
from .hearing.listening import Listening
from .hearing.questions import Questions
from .initial import initial_context
from .livekit_compat import (
    NOISY_LOGGERS,
    PRIVATE_FIELD_PREFIX,
    ColoredFormatter,
    JsonFormatter,
    ServerEnvOption,
    lasting_connect_options,
)
from .models import open_model
from .redaction import without_secrets
from .signals import stop_signals
from .views.vision import Vision
from .waiting import within

REACH_TIMEOUT_S = 5.0
"""How long the server may take to answer before the start, in seconds."""

logger = logging.getLogger(__name__)


async def entrypoint(ctx: JobContext, *, config: Config) -> None:
    """Answer in one room until it closes: questions on ``lk.chat``, answers on ``lk.transcription``."""
    cv2.setNumThreads(1)  # with a second thread a picture costs 1.5 times the CPU, and is hardly ready sooner
    listening = config.agent.listen_to
    async with AsyncExitStack() as opening:
        # first, so that we keep what people type while the rest opens
        questions = await opening.enter_async_context(Questions(ctx.room, listening=listening))
        model = await opening.enter_async_context(open_model(config.agent.model))
        await ctx.connect(auto_subscribe=AutoSubscribe.SUBSCRIBE_NONE)  # Vision subscribes to what it watches
        vision = await opening.enter_async_context(Vision.for_room(ctx.room, options=config.vision))
        agent = VisionAgent(
            vision=vision,
            instructions=config.agent.instructions,
            chat_ctx=await _given(config),
            uploads=config.uploads,
            listen_to=listening,
            questions=questions,
        )
        session = AgentSession[Any](llm=model, conn_options=lasting_connect_options())
        session.on("close", partial(_leave, ctx))
        await session.start(agent, room=ctx.room, room_options=_text_only(listening))
        opened = opening.pop_all()

    async def close(reason: str) -> None:
        for line in vision.statistics().lines():
            logger.info("statistics of the room: %s", line)
        await opened.aclose()  # the job has already closed the session

    ctx.add_shutdown_callback(close)


async def check_agent(config: Config) -> None:
    """Open the parts of an agent once, so that an error stops the start and not the first room.

    Raises:
        ConfigError: The model can't be used, or a picture given at the start can't be read.
        SourceError: A picture given at the start can't be fetched.
        ImageError: A file given at the start is not a picture.
    """
    async with open_model(config.agent.model):
        await _given(config)


async def _given(config: Config) -> llm.ChatContext:
    return await initial_context(config.context.images, config.context, vision=config.vision)


def _text_only(listening: Listening) -> room_io.RoomOptions:
    return room_io.RoomOptions(
        text_input=listening.mode == "linked",  # otherwise Questions handles it
        audio_input=False,
        audio_output=False,
        close_on_disconnect=False,
    )


def _leave(ctx: JobContext, event: CloseEvent) -> None:
    """End the job when its session ends: an agent that can't answer any more must not stay in the room."""
    if event.reason is CloseReason.ERROR:
        logger.error("the session ended on an error: the agent leaves the room")
    ctx.shutdown(f"session closed: {event.reason.value}")


def make_worker(
    config: Config,
    keys: ServerKeys,
    *,
    dev: bool,
    executor: JobExecutorType = JobExecutorType.PROCESS,
) -> AgentServer:
    """Return LiveKit's worker with our entrypoint; ``await worker.run(devmode=dev)`` starts it.

    Args:
        config: The settings of the agents in the rooms.
        keys: The server to work for.
        dev: Take every room, even if the machine is busy.
        executor: Where a room's job runs: in a separate process, or in a thread of this one.
    """
    threshold = config.worker.load_threshold
    # a server gives no room to a worker that reports 0.7 or more, even if the worker's threshold is higher
    takes_all = dev or threshold == 1
    worker = AgentServer(
        ws_url=keys.url,
        api_key=keys.api_key,
        api_secret=keys.api_secret,
        job_executor_type=executor,
        initialize_process_timeout=60,  # on a slow board the imports take longer than the default of 10 s
        preload_modules=[__name__],
        load_threshold=ServerEnvOption(dev_default=math.inf, prod_default=threshold),
        load_fnc=_no_load if takes_all else None,
        host=config.worker.health_host,
        port=ServerEnvOption(dev_default=0, prod_default=config.worker.health_port),
    )
    worker.rtc_session(partial(entrypoint, config=config), agent_name=config.worker.agent_name)
    return worker


def _no_load() -> float:
    return 0.0


async def check_server(keys: ServerKeys, *, timeout_s: float = REACH_TIMEOUT_S) -> None:
    """Send the server one request, to check address and key before the start.

    Raises:
        ServerError: The server can't be reached in time, refuses the key, or is not a LiveKit server.
    """
    shown = without_secrets(keys.url)
    try:
        async with api.LiveKitAPI(keys.url, keys.api_key, keys.api_secret, failover=False) as server:
            request = server.room.list_rooms(api.ListRoomsRequest(names=["-"]))
            await within(timeout_s, request)
    except api.ServerError as error:
        if error.status in (401, 403):
            way_out = "check LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
            raise ServerError(f"{shown} refuses the API key or secret: {way_out}") from error
        raise ServerError(f"{shown} answers, but not as LiveKit (HTTP {error.status})") from error
    except (aiohttp.ClientConnectionError, asyncio.TimeoutError) as error:
        reason = f"no answer in {timeout_s:g} s" if isinstance(error, asyncio.TimeoutError) else str(error)
        raise ServerError(f"no LiveKit server at {shown}: {reason}; check LIVEKIT_URL") from error
    # the text of these errors may contain the whole address
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, DecodeError):
        raise ServerError(f"{shown} answers, but not as LiveKit; check LIVEKIT_URL") from None
    except (aiohttp.ClientError, ValueError):
        reason = "not an address, or one with a user name and password, which LiveKit does not accept"
        raise ServerError(f"no LiveKit server at {shown}: {reason}; check LIVEKIT_URL") from None


async def run_worker(config: Config, keys: ServerKeys, *, dev: bool) -> None:
    """Work for a server until a signal asks to stop.

    After the first signal the worker takes no new room. Without ``dev``, open rooms may then go on for
    ``worker.drain_s``, which may be 0. A second signal ends them at once.

    Raises:
        ConfigError: The model can't be used, or a picture given at the start can't be read.
        SourceError: A picture given at the start can't be fetched.
        ImageError: A file given at the start is not a picture.
        ServerError: The server can't be used, or was unreachable for too long.
    """
    await check_agent(config)
    await check_server(keys)
    worker = make_worker(config, keys, dev=dev)
    with stop_signals() as asked:
        running = asyncio.create_task(worker.run(devmode=dev), name="worker")
        try:
            await _first(running, asked.get())
            if not running.done() and not dev:
                # our own limit: LiveKit's accepts only whole seconds, and 0 means no limit there
                await _first(within(config.worker.drain_s, worker.drain(timeout=None)), asked.get())
        finally:
            await worker.aclose()
        try:
            await running
        except OSError as error:
            raise ServerError(f"health check: {error}; set worker.health_port in the config") from error
        except RuntimeError as error:
            raise ServerError(f"{without_secrets(keys.url)}: {error}") from error


def log_as_worker(*, dev: bool) -> None:
    """Log to stderr as LiveKit's workers do: coloured and with debug lines in ``dev``, otherwise as JSON.

    LiveKit adds to debug lines what people and the agent said; we remove it.
    """
    handler = logging.StreamHandler(sys.stderr)
    if dev:
        line = "%(asctime)s %(esc_levelcolor)s%(levelname)-7s%(esc_reset)s %(name)s %(message)s"
        handler.setFormatter(ColoredFormatter(line + " %(esc_gray)s%(extra)s"))
    else:
        handler.setFormatter(JsonFormatter())
    handler.addFilter(_without_what_was_said)
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("livekit.agents", "vision_agent"):
        logging.getLogger(name).setLevel(logging.DEBUG if dev else logging.INFO)


def _without_what_was_said(record: logging.LogRecord) -> bool:
    for name in [name for name in vars(record) if name.startswith(PRIVATE_FIELD_PREFIX)]:
        delattr(record, name)
    return True


async def _first(*waited: Any) -> None:
    """Wait until the first one is done; cancel the unfinished tasks that were created here."""
    tasks = [each if isinstance(each, asyncio.Task) else asyncio.ensure_future(each) for each in waited]
    begun = [task for task, each in zip(tasks, waited, strict=True) if task is not each]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
