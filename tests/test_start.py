"""``vision-agent start``: the address of its health check, and how long open rooms go on after a signal."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import aiohttp
import psutil
import pytest

from vision_agent.testing.server import LocalServer

from .rooms import joined
from .visitor import Visitor, environment, running
from .waiting import until


@pytest.mark.parametrize("drain_s", [0, 0.5])
async def test_open_rooms_end_when_their_time_is_over_however_short(
    server: LocalServer, tmp_path: Path, drain_s: float
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[worker]\nhealth_port = 0\nload_threshold = 1.0\ndrain_s = {drain_s}\n")
    arguments = ("start", "--config", str(settings))
    async with running(*arguments, environment=environment(server)) as command:
        await until(lambda: "registered worker" in command.err, within_s=60)
        async with joined(server, "alice") as room:
            await Visitor(room).agent_listens()
            family, asked_s = command.family(), time.monotonic()
            command.process.send_signal(signal.SIGTERM)
            assert await command.exit_code(within_s=20) == 0, command.err  # alice is still there
            assert time.monotonic() - asked_s >= drain_s
    assert "Traceback" not in command.err
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=5)
    assert not alive


async def test_the_health_check_listens_on_this_machine_only(server: LocalServer, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[worker]\nhealth_port = 0\n")
    arguments = ("start", "--config", str(settings))
    async with running(*arguments, environment=environment(server)) as command:
        await until(lambda: "registered worker" in command.err, within_s=60)
        sockets = [each for process in command.family() for each in process.net_connections(kind="tcp")]
        listening = {each.laddr for each in sockets if each.status == psutil.CONN_LISTEN}
        assert listening and {address.ip for address in listening} == {"127.0.0.1"}
        async with aiohttp.ClientSession() as http:
            for ip, port in listening:
                async with http.get(f"http://{ip}:{port}/") as response:
                    assert response.status == 200
