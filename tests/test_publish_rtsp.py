"""A camera's RTSP stream passed through into a room: late viewers, and a camera that is gone for a while."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from vision_agent.testing.server import LocalServer

from .clips import write_clip
from .publishing import LIVE, publisher_of, viewing
from .servers import free_port, rtsp_server
from .waiting import until


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One key frame in ten seconds."""
    path = tmp_path_factory.mktemp("rtsp") / "live.mp4"
    return write_clip(path, size_wh=(640, 360), seconds=40, options={**LIVE, "g": "150"})


@pytest.mark.server
@pytest.mark.usefixtures("gstreamer")
async def test_who_comes_late_sees_now_within_two_seconds_and_a_camera_that_was_gone_comes_back(
    clip: Path,
) -> None:
    port = free_port()
    async with AsyncExitStack() as opened:
        server = await opened.enter_async_context(LocalServer())
        with rtsp_server(port, clip):
            uri = f"rtsp://127.0.0.1:{port}/live"
            publisher = await opened.enter_async_context(publisher_of(uri, server))
            early = await opened.enter_async_context(viewing(server, "early"))
            await early.more(20)
            async with viewing(server, "late") as late:
                await until(lambda: len(late.seconds) >= 2)
                assert late.waited_s <= 2
                (at_s, shown), (next_s, following) = late.seconds[:2]
                assert following == shown + 1 and next_s - at_s < 1.5
            assert publisher.state.route == "passthrough" and publisher.counts.bridges >= 1
        await until(lambda: "refused" in (publisher.state.problem or ""))
        assert publisher.state.published and publisher.state.flows
        with rtsp_server(port, clip):
            await early.more(10)
            await until(lambda: publisher.state.problem is None)
            assert publisher.counts.source_failures >= 1
