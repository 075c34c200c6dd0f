"""Pipecat's LiveKit transport with Pipecat's way to look: the model calls a function that requests an image.

This follows its example ``function-calling-openai-video``: it captures the camera only on request, and
``fetch_user_image`` puts a picture into the context. The OpenAI service is the real one. It talks to a
server in this process, which calls the function on the first request of a turn and answers the second.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from typing import Any

import numpy as np
import wire
from aiohttp import web
from livekit import rtc
from livekit.rtc._proto import video_frame_pb2
from loguru import logger
from PIL import Image
from pipecat.frames.frames import (
    LLMMessagesAppendFrame,
    TranscriptionFrame,
    UserImageRequestFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.transports.base_transport import VideoInSourceParams
from pipecat.transports.livekit.transport import LiveKitParams, LiveKitTransport
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies
from pipecat.utils.image import encode_image
from pipecat.workers.runner import WorkerRunner

CAMERA = "camera-0"
PICTURE = re.compile(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)")


class ChatServer:
    """Serves OpenAI's chat completions, streamed; requests a picture before it answers."""

    def __init__(self) -> None:
        self.requests: list[tuple[bool, list[str], int]] = []
        """For each request: whether it followed the function call, its pictures, when it came."""
        self._answered: asyncio.Queue[None] = asyncio.Queue()
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen on loopback; return the base URL."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def aclose(self) -> None:
        """Stop."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def answered(self) -> None:
        """Wait for the end of a turn's last answer."""
        await asyncio.wait_for(self._answered.get(), 20)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        at_ms = wire.stamp.now_ms()
        messages = json.loads(body)["messages"]
        last_user = max(i for i, m in enumerate(messages) if m["role"] == "user" and _is_question(m))
        turn = json.dumps(messages[last_user:])
        called = "tool_calls" in turn
        self.requests.append((called, PICTURE.findall(turn), at_ms))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        arguments = json.dumps({"user_id": CAMERA, "question": "What do you see?"})
        call = {"index": 0, "id": f"call-{len(self.requests)}", "type": "function",
                "function": {"name": "fetch_user_image", "arguments": arguments}}  # fmt: skip
        delta = {"role": "assistant", "content": "Yes."} if called else {"tool_calls": [call]}
        for chunk, finish in ((delta, None), ({}, "stop" if called else "tool_calls")):
            choices = [{"index": 0, "delta": chunk, "finish_reason": finish}]
            line = {"id": "chat", "object": "chat.completion.chunk", "created": 0, "model": "m"}
            await response.write(b"data: " + json.dumps(line | {"choices": choices}).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        if called:
            self._answered.put_nowait(None)
        return response


def _is_question(message: dict[str, Any]) -> bool:
    return "image_url" not in json.dumps(message["content"])


async def fetch_user_image(params: FunctionCallParams, user_id: str, question: str) -> None:
    """Fetch the user's image and push it to the model.

    Args:
        params: The call.
        user_id: The owner of the camera.
        question: The question about the image.
    """
    await params.llm.push_frame(
        UserImageRequestFrame(
            user_id=user_id,
            text=question,
            append_to_context=True,
            function_name=params.function_name,
            tool_call_id=params.tool_call_id,
            result_callback=params.result_callback,
        ),
        FrameDirection.UPSTREAM,
    )


class Bot:
    """The pipeline of the example, without sound."""

    def __init__(self, url: str, token: str, room: str, base_url: str) -> None:
        params = LiveKitParams(
            video_in_enabled=True,
            video_in_sources={"camera": VideoInSourceParams(on_request_only=True)},
        )
        self.transport = LiveKitTransport(url=url, token=token, room_name=room, params=params)
        self.llm = OpenAILLMService(
            api_key="none", base_url=base_url, settings=OpenAILLMService.Settings(model="m")
        )
        context = LLMContext(tools=[fetch_user_image])
        # the transcript comes from a recogniser that also detects where a turn starts and ends
        user, assistant = LLMContextAggregatorPair(
            context, user_params=LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies())
        )
        stages = [self.transport.input(), user, self.llm, self.transport.output(), assistant]
        self.worker = PipelineWorker(Pipeline(stages), params=PipelineParams(), idle_timeout_secs=None)
        self.runner = WorkerRunner(handle_sigint=False)
        self.running: asyncio.Task[None] | None = None
        self.seen = asyncio.Event()

    async def start(self) -> None:
        """Start, and wait until the bot has subscribed to the camera."""
        self.transport.add_event_handler("on_video_track_subscribed", self._on_video)
        await self.runner.add_workers(self.worker)
        self.running = asyncio.create_task(self.runner.run())
        await asyncio.wait_for(self.seen.wait(), 20)

    async def _on_video(self, *about: Any) -> None:
        self.seen.set()

    async def speak(self) -> None:
        """Speak a sentence."""
        await self.worker.queue_frames([UserStartedSpeakingFrame()])
        await asyncio.sleep(1.0)
        words = TranscriptionFrame(text="What do you see?", user_id=CAMERA, timestamp="", finalized=True)
        await self.worker.queue_frames([words])
        await asyncio.sleep(0.05)
        await self.worker.queue_frames([UserStoppedSpeakingFrame()])

    async def type(self) -> None:
        """Type a sentence."""
        message: Any = {"role": "user", "content": "What do you see?"}
        await self.worker.queue_frames([LLMMessagesAppendFrame(messages=[message], run_llm=True)])

    async def aclose(self) -> None:
        """Leave."""
        await self.runner.cancel()
        if self.running is not None:
            await asyncio.gather(self.running, return_exceptions=True)


async def encode(frame: rtc.VideoFrame, request: dict[str, Any]) -> bytes:
    """Encode like the transport and the context: to RGB on the loop, to JPEG in a thread, at full size."""
    rgb = frame.convert(video_frame_pb2.VideoBufferType.RGB24)
    data: bytes
    data, _ = await encode_image(bytes(rgb.data), (rgb.width, rgb.height), "RGB")
    return data


def wrap(planes: Any, size_wh: tuple[int, int]) -> rtc.VideoFrame:
    """Return a frame as a track gives it."""
    return rtc.VideoFrame(*size_wh, rtc.VideoBufferType.I420, planes.tobytes())


def grey(picture: str) -> Any:
    """Return the luma of a picture from a request."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as opened:
        return np.asarray(opened.convert("L"))


async def main() -> None:
    """Encode; or join a room and answer questions."""
    chat, bots = ChatServer(), []

    async def join(request: dict[str, Any]) -> dict[str, Any]:
        bots.append(Bot(request["url"], request["token"], request["room"], await chat.start()))
        await bots[0].start()
        return {"joined": True}

    async def talk(request: dict[str, Any]) -> dict[str, Any]:
        ages, seen, seen_after_call, stalls_ms = [], 0, 0, []

        async def turn() -> list[tuple[bool, list[str], int]]:
            before = len(chat.requests)
            await (bots[0].speak() if request["kind"] == "spoken" else bots[0].type())
            await chat.answered()
            return chat.requests[before:]

        await turn()  # to warm up
        wire.costs.settle_heap()
        async with wire.costs.LoopMonitor() as monitor:
            for _ in range(request["count"]):
                await wire.pause()
                await monitor.longest_ms()  # ignore stalls between the turns
                first, *others = await turn()
                stalls_ms.append(await monitor.longest_ms())
                seen += bool(first[1])
                for _, pictures, at_ms in others[-1:]:
                    seen_after_call += bool(pictures)
                    if pictures:
                        ages.append(wire.age_of(await asyncio.to_thread(grey, pictures[-1]), at_ms))
        return {"turns": request["count"], "seen": seen, "seen_after_call": seen_after_call, "ages": ages,
                "packed_ms": [], "stalls_ms": stalls_ms}  # fmt: skip

    handlers = {"encode": wire.encoder(encode, wrap, None), "join": join, "idle": wire.idle, "turns": talk}
    await wire.serving.serve(handlers)
    for bot in bots:
        await bot.aclose()
    await chat.aclose()


if __name__ == "__main__":
    logger.remove()
    asyncio.run(main())
