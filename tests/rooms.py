"""People in a room: a camera with the testcard, an agent, and a person who asks."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import numpy as np
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.run_result import RunResult

from vision_agent import Vision, VisionAgent, VisionOptions
from vision_agent.imaging.frame import Frame
from vision_agent.models.offline import OfflineLLM
from vision_agent.sources.testcard import render
from vision_agent.testing.server import LocalServer


@asynccontextmanager
async def joined(server: LocalServer, identity: str, *, dynacast: bool = False) -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    await room.connect(server.url, server.token(identity, "test"), rtc.RoomOptions(dynacast=dynacast))
    try:
        yield room
    finally:
        await room.disconnect()


@asynccontextmanager
async def publishing(
    room: rtc.Room,
    source: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_CAMERA,
    *,
    late_s: float = 0.0,
    size_wh: tuple[int, int] = (1280, 720),
    turned: int = 0,
    simulcast: bool = True,
    flowing: asyncio.Event | None = None,
    name: str = "card",
) -> AsyncIterator[rtc.LocalTrackPublication]:
    """Publish the testcard at 30 fps.

    ``late_s`` shifts its clock, so that two cards differ. The card is ``turned`` by quarters clockwise, and
    the viewer must turn it back. While ``flowing`` is not set, the camera stalls.
    """
    video = rtc.VideoSource(*size_wh)
    track = rtc.LocalVideoTrack.create_video_track(name, video)
    card_wh = (size_wh[1], size_wh[0]) if turned % 2 else size_wh

    def picture() -> rtc.VideoFrame:
        rgb = np.ascontiguousarray(np.rot90(render(time.time() - late_s, card_wh), k=turned))
        planes = Frame.from_rgb(rgb, captured_s=0.0).planes_i420
        assert planes is not None
        return rtc.VideoFrame(*size_wh, rtc.VideoBufferType.I420, planes.tobytes())

    async def pump() -> None:
        due_s = time.monotonic()
        while True:
            if flowing is not None:
                await flowing.wait()
            video.capture_frame(
                await asyncio.to_thread(picture), rotation=cast("rtc.VideoRotation.ValueType", turned)
            )
            due_s = max(due_s + 1 / 30, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())

    task = asyncio.create_task(pump())
    options = rtc.TrackPublishOptions(source=source, simulcast=simulcast)
    publication = await room.local_participant.publish_track(track, options)
    try:
        yield publication
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if publication.sid in room.local_participant.track_publications:
            await room.local_participant.unpublish_track(publication.sid)


async def ask(session: AgentSession[Any], question: str = "What does the QR code say?") -> str:
    result: RunResult[Any] = await session.run(user_input=question)
    return next(e.item.text_content or "" for e in result.events if e.type == "message")


async def ask_until(session: AgentSession[Any], good: Callable[[str], bool], within_s: float = 10) -> str:
    """Ask again until the answer is good: events of a room take their time to arrive."""
    deadline_s = time.monotonic() + within_s
    while not good(answer := await ask(session)):
        assert time.monotonic() < deadline_s, f"last answer: {answer}"
        await asyncio.sleep(0.05)
    return answer


def codes(answer: str) -> list[int]:
    return [int(found) for found in re.findall(r"VA-(\d+)", answer)]


@asynccontextmanager
async def agent_in(room: rtc.Room) -> AsyncIterator[AgentSession[Any]]:
    options = VisionOptions(max_wait_s=0.5)
    async with Vision.for_room(room, options=options) as vision, OfflineLLM() as model:
        async with AgentSession[Any](llm=model) as session:
            await session.start(VisionAgent(vision=vision))
            yield session
