"""The demo's page in a real Chromium, with a file as the camera and a person who clicks and types."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.async_api import FilePayload, Page, async_playwright, expect

from vision_agent import Frame
from vision_agent.models.reading import read_codes
from vision_agent.sources.testcard import render

from .files import file_of
from .visitor import demo

CHROMIUM = shutil.which("chromium")
BASE_S, SECONDS, FPS, SIZE_WH = 1_700_000_000, 6, 10, (640, 360)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera that shows the testcard's seconds over and over, as Chromium's fake device plays it."""
    path = tmp_path_factory.mktemp("camera") / "card.y4m"
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{SIZE_WH[0]} H{SIZE_WH[1]} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for index in range(SECONDS * FPS):
            frame = Frame.from_rgb(render(BASE_S + index / FPS, SIZE_WH), captured_s=0.0)
            assert frame.planes_i420 is not None
            file.write(b"FRAME\n" + frame.planes_i420.tobytes())
    return path


@asynccontextmanager
async def opened(url: str, camera: Path) -> AsyncIterator[Page]:
    """Open the page; what it writes to its console as an error fails the test."""
    troubles: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-video-capture={camera}",
                "--disable-background-networking",
                "--disable-component-update",
            ],
        )
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        try:
            await page.goto(url)
            yield page
        finally:
            await browser.close()
    assert troubles == []


async def shown(page: Page) -> list[int]:
    """Read the second in the page's own preview of the camera."""
    picture = await page.locator("#camera-video").screenshot()
    rgb = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), dtype=np.uint8)
    return [int(mark.text.removeprefix("VA-")) for mark in read_codes(rgb)]


async def answer_to(page: Page, question: str) -> str:
    answers = page.locator(".message.theirs:not(.waiting)")
    count = await answers.count()
    await page.fill("#question", question)
    await page.press("#question", "Enter")
    await expect(answers).to_have_count(count + 1, timeout=15_000)
    answer = answers.nth(count)
    await expect(answer).to_have_text(re.compile(r"\.\s*$"))  # all of it has come
    return await answer.inner_text()


async def attach(page: Page, name: str, data: bytes) -> None:
    await page.set_input_files("#file", files=FilePayload(name=name, mimeType="image/png", buffer=data))


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here: make browser installs it on Debian")
async def test_a_person_with_a_camera_asks_marks_and_sends(camera: Path) -> None:
    async with demo() as (_, url), opened(url, camera) as page:
        status = page.locator("#status-text")
        await expect(status).to_have_text("Agent ready, camera off", timeout=30_000)
        assert "can't see anything" in await answer_to(page, "What does the QR code say?")
        await page.click("#camera-first")
        await expect(status).to_have_text("Agent ready, camera on", timeout=15_000)
        await expect(page.locator("#camera-video")).to_be_visible()
        seen = set()
        for _ in range(30):  # the first pictures of a camera are coarse
            before = await shown(page)
            answer = await answer_to(page, "What does the QR code say?")
            after = await shown(page)
            told = [int(code) for code in re.findall(r"VA-(\d+)", answer)]
            if told and before and after:
                # no later than the answer, and no earlier than the question and the picture's way
                took_s = (after[0] - before[0]) % SECONDS
                assert (after[0] - told[0]) % SECONDS <= took_s + 1
                seen.add(told[0])
            if len(seen) >= 3:
                break
        assert len(seen) >= 3  # three moments, each told as it was

        assert "I marked VA-" in await answer_to(page, "Mark the code.")
        marked = page.locator(".picture.theirs img")
        await expect(marked).to_be_visible()
        assert await marked.evaluate("image => image.naturalWidth") >= 320
        await expect(page.locator(".picture.theirs figcaption")).to_contain_text("camera of visitor")

        card = file_of("PNG", Image.fromarray(render(BASE_S - 1000, SIZE_WH)))
        await attach(page, "card.png", card)
        answer = await answer_to(page, "What does the code say?")
        assert f"The picture you sent: The code says VA-{BASE_S - 1000}." in answer
        assert "Camera of visitor: The code says VA-" in answer
        await expect(page.locator(".picture.mine figcaption")).to_have_text("card.png: the agent has it")
        await attach(page, "a.png", b"no")
        await page.click("#send")
        await expect(page.locator(".picture.mine figcaption").nth(1)).to_contain_text(
            "was not taken: not a picture"
        )

        await page.click("#camera")
        await expect(status).to_have_text("Agent ready, camera off")
        assert "VA-" not in await answer_to(page, "What does the QR code say now?")
