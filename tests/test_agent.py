"""The agent on a source of ten lines: what reaches the model, and what stays in the history."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit.agents import AgentSession, llm

from vision_agent import ConfigError, Vision, VisionAgent, VisionOptions, open_source
from vision_agent.sources.testcard import code_at

from .cards import CardSource, ListeningLLM, frame_code, images_in
from .rooms import ask


async def test_typed_turns_carry_the_picture_of_their_moment() -> None:
    source, model = CardSource(), ListeningLLM()
    async with Vision(source=source) as vision, AgentSession[Any](llm=model) as session:
        await session.start(VisionAgent(vision=vision))
        for second in range(3):
            source.moment_s = 1_700_000_100.0 + second
            await vision.look()
            await asyncio.sleep(0)
            while (await frame_code(vision)) != code_at(source.moment_s):
                pass
            assert code_at(source.moment_s) in await ask(session, "What does the QR code say?")


async def test_history_and_request_hold_the_same_picture_and_the_line_beside_it() -> None:
    model = ListeningLLM()
    async with Vision(source=CardSource()) as vision, AgentSession[Any](llm=model) as session:
        await session.start(VisionAgent(vision=vision))
        await ask(session, "What colours do you see?")
        assert images_in(model.requests[-1]) == images_in(session.history) != []
        user = next(m for m in model.requests[-1].messages() if m.role == "user")
        line = next(part for part in user.content if isinstance(part, str) and part.startswith("["))
        assert line.startswith('[picture: "desk", seen ') and line.endswith(" ms before this question]")
        spoken = next(m for m in session.history.messages() if m.role == "user")
        assert spoken.text_content == "What colours do you see?"


async def test_after_twenty_turns_at_most_max_images_pictures_and_a_flat_size() -> None:
    model, sizes = ListeningLLM(), []
    options = VisionOptions(max_side_px=256)
    async with Vision(source=CardSource(), options=options) as vision:
        async with AgentSession[Any](llm=model) as session:
            await session.start(VisionAgent(vision=vision))
            for _ in range(20):
                await ask(session, "What colours do you see?")
                sizes.append(sum(len(image) for image in images_in(model.requests[-1])))
                assert len(images_in(model.requests[-1])) <= 3
            assert len(images_in(session.history)) == 3
    assert max(sizes[4:]) <= 1.02 * min(sizes[4:])


async def test_a_camera_that_goes_away_is_told_and_its_old_picture_is_not_shown() -> None:
    source, model = CardSource(), ListeningLLM()
    options = VisionOptions(max_wait_s=0.2)
    async with Vision(source=source, options=options) as vision, AgentSession[Any](llm=model) as session:
        await session.start(VisionAgent(vision=vision))
        assert "VA-" in await ask(session, "What does the QR code say?")
        source.problem = "the camera is muted"
        answer = await ask(session, "What does the QR code say?")
        assert "muted" in answer and "VA-" not in answer
        asked = [m for m in model.requests[-1].messages() if m.role == "user"][-1]
        assert not any(isinstance(part, llm.ImageContent) for part in asked.content)
        source.problem = None
        assert "VA-" in await ask(session, "What does the QR code say?")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("nowhere://x", "unknown kind"),
        ("testcard://?size=big", "size=1280x720"),
        ("testcard://?colour=red", "colour"),
        ("testcard://?fps=0", "fps = 0"),
        ("testcard://?size=8x8", "from 16 to 16384 pixels"),
    ],
)
def test_a_bad_uri_is_named(uri: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_source(uri)


def test_a_uri_never_shows_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        open_source("nowhere://me:secret@host/x")
    assert "secret" not in str(caught.value)
