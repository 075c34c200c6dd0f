"""``vision-agent publish`` as a real process: what it prints, how it ends, what it reports to systemd."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from datetime import timedelta
from pathlib import Path

import aiohttp
import psutil
import pytest
from livekit import api

from vision_agent import ConfigError, open_source
from vision_agent.config import Config, PublishOptions, Supervisor
from vision_agent.errors import ServerError
from vision_agent.publish.access import Access, Refused, default_identity
from vision_agent.publish.command import run_publish
from vision_agent.publish.publisher import Publisher
from vision_agent.publish.sd_notify import Notifier
from vision_agent.testing.server import LocalServer

from .clips import write_clip
from .publishing import LIVE, ROOM, viewing
from .visitor import environment, failure, running
from .waiting import until


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("publish") / "clip.mp4", options={**LIVE, "g": "15"})


@pytest.fixture
def settings(tmp_path: Path) -> str:
    path = tmp_path / "settings.toml"
    path.write_text('[publish]\nreport_s = 1\nmetrics_port = 0\nroom = "test"\nidentity = "door"\n')
    return str(path)


async def test_it_says_how_it_goes_and_a_signal_stops_it_clean(
    server: LocalServer, clip: Path, settings: str, tmp_path: Path
) -> None:
    told = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(told))
        systemd.setblocking(False)
        keys = environment(server, NOTIFY_SOCKET=str(told), WATCHDOG_USEC="3000000")
        async with running("publish", str(clip), "--config", settings, environment=keys) as command:
            async with viewing(server, reads=False) as viewer:
                await viewer.more(30)
                await until(lambda: bool(re.search(r"\d+\.\d fps, \d+ kbit/s", command.err)))
                url = re.findall(r"http://127\.0\.0\.1:\d+", command.err)[0]
                async with aiohttp.ClientSession() as http:
                    async with http.get(f"{url}/health") as response:
                        assert response.status == 200 and (await response.json())["published"]
                    async with http.get(f"{url}/metrics") as response:
                        text = await response.text()
            assert re.search(r"^vision_agent_publish_sent_total [1-9]\d+$", text, re.MULTILINE)
            assert "\nvision_agent_publish_passthrough 1\n" in text
            family = command.family()
            command.process.send_signal(signal.SIGTERM)
            assert await command.exit_code() == 0, command.err
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=5)
        assert not alive
        messages = b"\n".join(received(systemd)).decode().splitlines()
    lines = command.err.splitlines()
    assert "vision-agent: clip.mp4 passes through, in room test as door" in lines
    assert lines[-1] == "vision-agent: stopped" and all(line.startswith("vision-agent: ") for line in lines)
    assert "READY=1" in messages and messages.count("WATCHDOG=1") >= 2 and messages[-1] == "STOPPING=1"
    assert any(line.startswith("STATUS=room test as door | passthrough 320x180") for line in messages)
    assert server.api_secret not in command.err and command.out == ""


def received(systemd: socket.socket) -> list[bytes]:
    messages = []
    while True:
        try:
            messages.append(systemd.recv(4096))
        except BlockingIOError:
            return messages


async def test_ctrl_c_ends_it_too_and_a_ready_token_is_enough(server: LocalServer) -> None:
    environment = {"LIVEKIT_TOKEN": server.token("gate", ROOM), "LIVEKIT_API_SECRET": ""}
    arguments = ("publish", "testcard://?size=320x180", "--url", server.url, "--name", "front")
    async with running(*arguments, environment=environment) as command:
        async with viewing(server, reads=False) as viewer:
            await viewer.more()
        assert "testcard is encoded here, in room test as gate" in command.err
        command.process.send_signal(signal.SIGINT)
        assert await command.exit_code() == 0, command.err


async def test_a_recording_that_is_played_once_ends_it(server: LocalServer, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "short.mp4", seconds=1, options=LIVE)
    access = Access.choose(room=ROOM, environment=environment(server))
    said: list[str] = []
    config = Config(publish=PublishOptions(room=ROOM))
    await run_publish(config, f"{clip}?loop=0", access, supervisor=Supervisor(), say=said.append)
    assert said[0].startswith("short.mp4 passes through, in room test as camera-")
    assert said[-1] == "the recording has ended"


def token(server: LocalServer, *, secret: str = "", age_s: float = 0, **grants: bool) -> str:
    made = api.AccessToken(server.api_key, secret or server.api_secret).with_identity("camera")
    made = made.with_grants(api.VideoGrants(**{"room_join": True, "room": ROOM, **grants}))  # type: ignore[arg-type]
    return made.with_ttl(timedelta(seconds=60 - age_s)).to_jwt()


@pytest.fixture
def letter(tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("Dear reader")


@pytest.mark.usefixtures("letter")
@pytest.mark.parametrize(
    ("args", "changed", "exit_code", "said"),
    [
        (
            ("testcard://", "--room", ROOM),
            {"LIVEKIT_API_SECRET": "x" * 40},
            3,
            "refuses the API key or secret",
        ),
        (("testcard://",), {}, 2, "which room? give --room"),
        (("--room", ROOM), {}, 2, "which source? give SOURCE, or set VISION_AGENT_SOURCE"),
        (("--room", ROOM), {"VISION_AGENT_SOURCE": "letter.mp4"}, 1, "letter.mp4: not a video"),
        (("letter.mp4", "--room", ROOM), {}, 1, "letter.mp4: not a video that can be read"),
    ],
)
async def test_what_is_wrong_is_one_line_and_the_right_exit_code(
    server: LocalServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    changed: dict[str, str],
    exit_code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, stderr = await failure("publish", *args, environment=environment(server, **changed))
    assert (code, stderr.count("\n")) == (exit_code, 1) and said in stderr
    assert "Traceback" not in stderr and server.api_secret not in stderr


async def test_a_token_of_no_use_and_a_server_that_is_not_there_are_told(server: LocalServer) -> None:
    keys = environment(server)
    nothing = dict.fromkeys(keys, "")
    with pytest.raises(ConfigError, match="LIVEKIT_API_SECRET not set"):
        Access.choose(room=ROOM, environment=nothing)
    with pytest.raises(ConfigError, match="must begin with ws://"):
        Access.choose(url="localhost", token="t", environment=nothing)
    for ready, said in (
        (token(server, secret="x" * 40), "refuses the token: make one with this server's key"),
        (token(server, age_s=500), "the token has expired: make a new one"),
        (token(server, room_join=False), "the token is not for joining a room"),
        (
            token(server, can_publish=False),
            "the token is not for publishing a camera",
        ),
    ):
        with pytest.raises(Refused, match=said) as caught:
            await published(Access.choose(token=ready, environment=keys))
        assert ready not in str(caught.value)
        assert caught.value.__cause__ is None
    wrong = Access.choose(room=ROOM, environment=environment(server, LIVEKIT_API_SECRET="x" * 40))
    with pytest.raises(Refused, match="refuses the API key or secret: check both"):
        await published(wrong)
    away = Access.choose(url="ws://127.0.0.1:1", room=ROOM, environment=keys)
    with pytest.raises(ServerError, match=r"no LiveKit server at ws://127\.0\.0\.1:1: connection refused"):
        await published(away)
    assert server.api_secret not in repr(away)


def test_machines_of_the_same_name_have_an_identity_each(tmp_path: Path) -> None:
    names = []
    for number in range(2):
        (tmp_path / str(number)).write_text(f"{number:032x}\n")
        names.append(default_identity(tmp_path / str(number)))
        assert names[-1] == default_identity.__wrapped__(tmp_path / str(number))
    host = f"camera-{socket.gethostname()}"
    assert names[0] != names[1] and all(re.fullmatch(rf"{host}-[0-9a-f]{{6}}", name) for name in names)
    assert default_identity(tmp_path / "none") == host


async def test_taken_and_removed_end_the_command_with_a_code_of_their_own(
    server: LocalServer, clip: Path, settings: str
) -> None:
    arguments = ("publish", str(clip), "--config", settings)
    async with running(*arguments, environment=environment(server)) as first:
        await until(lambda: "passes through, in room test as door" in first.err)
        async with running(*arguments, environment=environment(server)) as second:
            assert await first.exit_code() == 3
            assert "another participant joined as door" in first.err
            await until(lambda: "passes through, in room test as door" in second.err)
            keys = server.keys
            async with api.LiveKitAPI(keys.url, keys.api_key, keys.api_secret) as control:
                who = api.RoomParticipantIdentity(room=ROOM, identity="door")
                await control.room.remove_participant(who)
            assert await second.exit_code() == 3 and "door was removed from the room" in second.err


async def published(access: Access) -> None:
    await asyncio.wait_for(Publisher(open_source("testcard://?size=320x180"), access).run(), 20)


async def test_a_metrics_port_in_use_is_one_line(server: LocalServer) -> None:
    access = Access.choose(room=ROOM, environment=environment(server))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = Config(publish=PublishOptions(metrics_port=port))
        with pytest.raises(ServerError, match=f"port {port} of 127.0.0.1 can't be used: address already"):
            await run_publish(config, "testcard://", access, supervisor=Supervisor(), say=print)


def test_without_systemd_nothing_is_told_and_its_names_are_understood(tmp_path: Path) -> None:
    assert Supervisor.from_environment({}) == Supervisor()
    told = Supervisor.from_environment({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "30000000"})
    assert (told.socket, told.watchdog_s) == ("@x", 30.0)
    assert Supervisor.from_environment({"WATCHDOG_USEC": "soon"}).watchdog_s is None
    silent = Notifier()
    silent.alive()
    silent.close()
    gone = Notifier(str(tmp_path / "nobody"))  # a socket that is gone does not stop a camera
    gone.alive()
    gone.close()
    gone.close()
    name = f"vision-agent-test-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}")
        notifier = Notifier(f"@{name}")
        notifier.ready("here")
        notifier.close()
        assert systemd.recv(100) == b"READY=1\nSTATUS=here"
