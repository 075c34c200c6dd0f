"""A long conversation with everything switched on: its memory stays within the limits."""

from __future__ import annotations

import gc
import json
from typing import Any

import numpy as np
import pytest
from livekit.agents import AgentSession, llm

from vision_agent import Frame, Vision, VisionAgent, VisionOptions
from vision_agent.imaging.jpeg import encode_rgb
from vision_agent.sources.testcard import code_at

from .cards import CardSource, ListeningLLM, images_in
from .rooms import ask
from .test_choice import Cards
from .test_tools import KeptOutput

LIMIT = 1_000_000


@pytest.mark.timeout(180)
async def test_a_hundred_turns_with_everything_on_stay_flat() -> None:
    front, rear = CardSource("front"), CardSource("rear")
    model, output, sizes = ListeningLLM(), KeptOutput(), []
    options = VisionOptions(max_images=4, max_held_bytes=LIMIT, max_side_px=320)
    photo = encode_rgb(np.full((240, 320, 3), 90, np.uint8), max_side_px=320)
    async with Cards(front, rear, options=options) as vision, AgentSession[Any](llm=model) as session:
        agent = VisionAgent(vision=vision, output=output)
        await session.start(agent)
        await vision.opened()
        for turn in range(100):
            front.moment_s += 1
            if turn % 10 == 3:
                await agent._accept(photo, f"photo {turn}", "bob")
            if turn % 10 == 5:
                await session.generate_reply(instructions="Say what you see.")
            if turn % 10 == 7:
                await ask(session, "Please mark the QR code on the front.")
            else:
                await ask(session, "What does the QR code say?")
            held = vision.statistics().ledger
            assert held.held_bytes <= LIMIT
            sizes.append(sum(len(image) for image in images_in(model.requests[-1])))
            model.requests[:-1] = []
        gc.collect()
        alive = [each for each in gc.get_objects() if isinstance(each, Frame)]
        assert len(alive) <= 2 * 4, len(alive)  # the newest, the one before, one being made, a view
        in_history = [part for m in session.history.messages() for part in m.content if _is_picture(part)]
        assert len(in_history) <= 4
        assert vision.statistics().ledger.requests >= 120
    assert max(sizes[50:]) <= 1.05 * max(sizes[10:50])
    assert len(output.sent) == 10
    assert [json.loads(sent["boxes"])[0]["label"][:3] for _, sent in output.sent] == ["VA-"] * 10
    answer = str(session.history.messages()[-1].text_content)
    assert (
        code_at(front.moment_s) in answer or code_at(front.moment_s - 1) in answer
    )  # a frame may be on its way


def _is_picture(part: object) -> bool:
    return isinstance(part, llm.ImageContent)


async def test_a_frame_that_was_answered_is_not_kept() -> None:
    async with Vision(source=CardSource()) as vision, AgentSession[Any](llm=ListeningLLM()) as session:
        await session.start(VisionAgent(vision=vision))
        await ask(session)
        for part in (part for m in session.history.messages() for part in m.content):
            assert isinstance(part, str) or (
                isinstance(part, llm.ImageContent) and isinstance(part.image, str)
            )
