"""``vision-agent demo`` as a real process: page, token, a question, and nothing left at the end."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
import zipfile
from pathlib import Path

import aiohttp
import psutil
import pytest
from livekit import rtc

from vision_agent.demo.site import PAGE, check_page
from vision_agent.errors import ConfigError

from .rooms import codes, publishing
from .visitor import Visitor, demo, running

ROOT = Path(__file__).parents[1]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.server
async def test_one_question_and_then_nothing_is_left() -> None:
    async with demo() as (command, url), aiohttp.ClientSession() as http:
        async with http.get(url) as page:
            assert page.status == 200 and "Vision agent" in await page.text()
        async with http.get(f"{url}/token") as response:
            visit = await response.json()
        async with http.get(f"{url}/token") as response:
            assert (await response.json())["room"] != visit["room"]  # each load has a room of its own
        room = rtc.Room()
        await room.connect(visit["url"], visit["token"])
        async with publishing(room):
            visitor = Visitor(room)
            await visitor.agent_listens()
            await visitor.ask_until(lambda answer: bool(codes(answer)))
            asked_s = time.time()
            (code,) = codes(await visitor.ask())
            assert asked_s - 0.5 <= code + 1 and code <= time.time()
        family = command.family()
        assert any("livekit-server" in each.name() for each in family)
        ports = [int(part.rpartition(":")[2]) for part in (url, visit["url"])]
        assert all(is_open(port) for port in ports)
        command.process.send_signal(signal.SIGINT)
        assert await command.exit_code() == 0
        assert "Traceback" not in command.err
        await room.disconnect()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=5)
        assert not alive
        assert not any(is_open(port) for port in ports)


@pytest.mark.server
async def test_other_names_and_other_pages_get_nothing() -> None:
    async with demo() as (command, url), aiohttp.ClientSession() as http:
        port = url.rpartition(":")[2]
        for headers, status in (
            ({"Host": f"localhost:{port}"}, 200),
            ({"Host": f"rebound.example:{port}"}, 403),
            ({"Host": "127.0.0.1"}, 403),
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
        ):
            async with http.get(f"{url}/token", headers=headers) as response:
                assert response.status == status, headers
                assert (status == 200) == ("token" in await response.text())
        async with http.get(f"{url}/../site.py") as response:
            assert response.status == 404
        outside = [
            each.laddr.ip
            for process in command.family()
            for each in process.net_connections(kind="tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.ip != "127.0.0.1"
        ]
        assert outside == []


@pytest.mark.server
async def test_a_port_in_use_and_a_port_that_is_none_are_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with running("demo", "--port", str(port)) as command:
            assert await command.exit_code() == 1
            assert command.err == (
                f"vision-agent: port {port} of 127.0.0.1 can't be used: address already in use; "
                "choose another with --port\n"
            )
    async with running("demo", "--port", "70000") as command:
        assert await command.exit_code() == 2
        assert command.err == "vision-agent: --port = 70000: must be from 0 to 65535\n"


def test_a_page_that_is_not_built_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make page"):
        check_page(tmp_path)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not there to build the page")
def test_a_wheel_of_a_clone_contains_the_page(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    ignored = shutil.ignore_patterns(".*", "node_modules", "page", "__pycache__", "dist")
    shutil.copytree(ROOT, clone, ignore=ignored, symlinks=True)
    assert not (clone / PAGE.relative_to(ROOT)).exists()
    subprocess.run(
        [ROOT / ".venv/bin/uv", "build", "--wheel", "--quiet", "--out-dir", tmp_path, clone],
        check=True,
        timeout=90,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"vision_agent/demo/page/{name}" for name in ("index.html", "main.js", "style.css")} <= names
    assert not any("node_modules" in name or name.startswith("web/") for name in names)
