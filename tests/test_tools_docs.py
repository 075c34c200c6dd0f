"""What docs/tools.md shows works as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from livekit.agents import AgentSession

from vision_agent import Vision, VisionAgent
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.testing.server import LocalServer

from .cards import frame_code
from .rooms import ask, joined, publishing
from .seeing import users
from .test_asking import CallingLLM
from .waiting import until

PAGE = (Path(__file__).parents[1] / "docs/tools.md").read_text(encoding="utf-8")


def inspector(vision: Vision) -> VisionAgent:
    """Run the page's block and make its agent."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(block, "docs/tools.md", "exec"), found)
    agent: VisionAgent = found["Inspector"](vision)
    return agent


async def test_a_tool_looks_at_a_part_and_the_follow_up_request_has_it(server: LocalServer) -> None:
    model = CallingLLM("look_closer")
    async with joined(server, "agent") as room, joined(server, "alice") as alice, publishing(alice):
        async with Vision.for_room(room) as vision:
            await until(lambda: [eye.source.name for eye in vision.eyes] == ["camera of alice"])
            await frame_code(vision)
            async with AgentSession[Any](llm=model) as session:
                await session.start(inspector(vision))
                await ask(session, "What is on the right?")
            looked, added = [each for each in vision.ledger.sightings if each.purpose == "tool"]
        assert looked.view == "camera of alice" and looked.owner == "alice"
        assert added.image is not None and added.image == looked.image
        height, width, _ = decode_jpeg(added.image.data).shape
        assert abs(width / height - 640 / 720) < 0.01
        lines = [part for message in users(model.requests[1]) for part in message]
        (line,) = re.findall(r"beside the\s+picture: `(.*?)`", PAGE)
        assert line in lines


async def test_without_the_view_the_tool_says_which_views_there_are() -> None:
    model = CallingLLM("look_closer")
    vision = Vision(source="testcard://")
    async with AgentSession[Any](llm=model) as session:
        await session.start(inspector(vision))
        await vision.opened()
        await ask(session, "What is on the right?")
        (output,) = [item.output for item in model.requests[1].items if item.type == "function_call_output"]
        assert output == "There is no picture: there is no such view; there is 'testcard'."
