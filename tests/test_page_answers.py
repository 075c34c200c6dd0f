"""The page in a room with several people: it shows who asked each question, and that an answer failed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from livekit import api
from livekit.agents import APIStatusError
from playwright.async_api import Route, expect

from vision_agent.demo.site import Site
from vision_agent.testing.server import LocalServer

from .talking import EchoLLM, device, person, talking
from .test_page import opened

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def site(server: LocalServer) -> Site:
    return Site(server, model="offline", agent_name="")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here: make browser installs it on Debian")
async def test_answers_to_others_and_failures_are_shown_as_such(server: LocalServer, site: Site) -> None:
    state = api.VideoGrants(can_update_own_metadata=True)
    model = EchoLLM()

    async def token(route: Route) -> None:
        access = {"url": server.url, "token": server.token("visitor", "test"), "model": "offline"}
        await route.fulfill(json=access)

    async with (
        site,
        device(server, "agent", kind="agent", grants=state) as room,
        talking(room, model),
        person(server, "bob") as bob,
        opened("about:blank", Path("none")) as page,
    ):
        await page.route("**/token", token)
        await page.goto(site.url)
        waiting, answers = page.locator(".waiting"), page.locator(".message.theirs:not(.waiting)")
        await expect(page.locator("#status-text")).to_have_text("Agent ready, camera off", timeout=15_000)

        model.goes_on.clear()
        await bob.post("Who am I?")
        await page.fill("#question", "And I?")
        await page.press("#question", "Enter")
        await expect(waiting).to_be_visible()
        model.goes_on.set()
        await expect(answers.nth(0)).to_have_text(re.compile(r"^To bob: You asked: Who am I\?\s*$"))
        await expect(answers.nth(1)).to_have_text(re.compile(r"^You asked: And I\?\s*$"))
        await expect(waiting).to_have_count(0)

        model.failures = [APIStatusError("no", status_code=401)]
        await page.fill("#question", "Again?")
        await page.press("#question", "Enter")
        await expect(page.locator(".note.bad")).to_have_text(
            "I could not answer: the model failed. Please ask again."
        )
        await expect(waiting).to_have_count(0)
