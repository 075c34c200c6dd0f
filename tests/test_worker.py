"""``vision-agent dev`` and ``start`` as real processes against a real livekit-server."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from vision_agent.testing.server import LocalServer

from .gemini import KEY, GeminiServer
from .rooms import codes, joined, publishing
from .talking import person
from .visitor import QUESTION, Command, Heard, Visitor, environment, failure, running
from .waiting import until


@pytest.fixture
def settings(tmp_path: Path) -> str:
    path = tmp_path / "settings.toml"
    path.write_text("[worker]\nhealth_port = 0\nload_threshold = 1.0\n")
    return str(path)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@asynccontextmanager
async def registered(name: str, server: LocalServer, settings: str) -> AsyncIterator[Command]:
    async with running(name, "--config", settings, environment=environment(server)) as command:
        await until(lambda: "registered worker" in command.err, within_s=60)
        yield command


@pytest.mark.parametrize("name", ["dev", "start"])
async def test_a_room_gets_an_agent_and_a_signal_stops_it_all(
    name: str, server: LocalServer, settings: str
) -> None:
    async with registered(name, server, settings) as command:
        async with joined(server, "alice") as room, publishing(room):
            visitor = Visitor(room)
            await visitor.agent_listens()
            (code,) = codes(await visitor.ask_until(lambda answer: bool(codes(answer))))
            assert abs(code - time.time()) < 2
            family = command.family()
            assert len(family) > 1  # a room's job is a process of its own
            command.process.send_signal(signal.SIGTERM)
            if name == "start":  # an open room may go on until a second signal
                await until(lambda: "draining worker" in command.err)
                assert codes(await visitor.ask())
                command.process.send_signal(signal.SIGTERM)
            assert await command.exit_code() == 0, command.err
        assert "Traceback" not in command.err and command.out == ""
        assert server.api_secret not in command.err and QUESTION not in command.err
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=5)
        assert not alive


async def answer_with_a_code(visitor: Visitor) -> Heard:
    """Ask until the picture is good enough: a camera's first ones are small."""
    for _ in range(10):
        answer = await visitor.answer_to(await visitor.post(QUESTION))
        if codes(answer.text):
            return answer
    raise AssertionError(f"last answer: {answer}")


async def test_with_a_camera_there_first_everybody_is_answered_and_a_model_may_fail(
    server: LocalServer, settings: str
) -> None:
    async with GeminiServer() as gemini:
        keys = environment(server, GOOGLE_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=gemini.base_url)
        model = ("--config", settings, "--model", "google/gemini-2.5-flash")
        publish = ("publish", "testcard://?size=640x360", "--room", "test", "--identity", "door")
        async with running("start", *model, environment=keys) as command:
            await until(lambda: "registered worker" in command.err, within_s=60)
            async with running(*publish, environment=keys) as camera:
                await until(lambda: "in room test as door" in camera.err, within_s=60)  # by its token
                async with person(server, "alice") as alice, person(server, "bob") as bob:
                    await alice.agent_listens()
                    gemini.failures = [400] * 6
                    for _ in range(6):
                        told = await alice.answer_to(await alice.post(QUESTION))
                        assert told.attributes["vision.error"] == "model"
                    for name, visitor in (("alice", alice), ("bob", bob), ("alice", alice)):
                        answer = await answer_with_a_code(visitor)
                        assert abs(max(codes(answer.text)) - time.time()) < 5
                        assert answer.attributes["vision.asked_by"] == name
                        assert "vision.error" not in answer.attributes
        assert "failed to answer: HTTP 400" in command.err and "check GOOGLE_API_KEY" in command.err
        assert QUESTION not in command.err and KEY not in command.err


async def test_linked_is_one_person_after_the_other_and_the_agent_leaves_when_its_session_ends(
    server: LocalServer, tmp_path: Path
) -> None:
    """The worker's real job; a packet on the topic ``close`` closes its session."""
    linked = tmp_path / "linked.toml"
    linked.write_text('[worker]\nhealth_port = 0\nload_threshold = 1.0\n[agent]\nlisten_to = "linked"\n')
    program = (sys.executable, "-c", "from tests.closing import main; main()")
    async with running(str(linked), environment=environment(server), program=program) as command:
        await until(lambda: "registered worker" in command.err, within_s=60)
        async with person(server, "alice") as alice:
            await alice.agent_listens()
            assert await alice.ask()
            async with person(server, "bob") as bob:
                await alice.room.disconnect()
                await bob.ask_until(bool)
                family = command.family()
                await bob.room.local_participant.publish_data(b"", topic="close")
                await until(lambda: not bob.agents)
                await until(lambda: not all(job.is_running() for job in family))
                assert command.process.returncode is None  # the worker goes on
        assert "Traceback" not in command.err, command.err


@pytest.mark.parametrize("command", ["dev", "start"])
async def test_a_wrong_key_is_one_line_and_exit_1(command: str, server: LocalServer) -> None:
    wrong = environment(server, LIVEKIT_API_SECRET="x" * 40)
    code, stderr = await failure(command, environment=wrong)
    assert code == 1
    assert stderr == f"vision-agent: {server.url} refuses the API key or secret: " + (
        "check LIVEKIT_API_KEY and LIVEKIT_API_SECRET\n"
    )


async def test_a_server_that_is_not_there_or_does_not_answer(deaf_port: int) -> None:
    keys = {"LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 40}
    code, stderr = await failure("start", environment={**keys, "LIVEKIT_URL": "ws://127.0.0.1:1"})
    assert code == 1 and stderr.count("\n") == 1
    assert stderr.startswith("vision-agent: no LiveKit server at ws://127.0.0.1:1: ")
    url = f"ws://127.0.0.1:{deaf_port}"
    code, stderr = await failure("start", environment={**keys, "LIVEKIT_URL": url})
    assert code == 1
    assert stderr == f"vision-agent: no LiveKit server at {url}: no answer in 5 s; check LIVEKIT_URL\n"


async def test_missing_keys_and_a_bad_model_are_told_before_the_server_is_asked() -> None:
    nothing = {"LIVEKIT_URL": "", "LIVEKIT_API_KEY": "", "LIVEKIT_API_SECRET": ""}
    code, stderr = await failure("dev", environment=nothing)
    assert code == 2 and stderr.startswith("vision-agent: LIVEKIT_URL, LIVEKIT_API_KEY,")
    keys = {"LIVEKIT_URL": "ws://127.0.0.1:1", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 40}
    code, stderr = await failure("dev", "--model", "oracle", environment=keys)
    assert code == 2 and "model 'oracle'" in stderr and "Traceback" not in stderr


@pytest.mark.parametrize("command", ["dev", "start", "demo"])
async def test_a_picture_that_can_not_be_had_stops_the_start(command: str, tmp_path: Path) -> None:
    keys = {"LIVEKIT_URL": "ws://127.0.0.1:1", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 40}
    path, text = tmp_path / "settings.toml", tmp_path / "text.png"
    text.write_text("I am text")
    for image, status, said in (
        (tmp_path / "gone.png", 2, "No such file or directory"),
        (text, 1, "not a picture: send JPEG, PNG, WebP or GIF"),
    ):
        path.write_text(f'[context]\nimages = ["{image}"]\n')
        code, stderr = await failure(command, "--config", str(path), environment=keys)
        assert (code, stderr) == (status, f"vision-agent: picture {image}: {said}\n")


async def test_a_health_port_in_use_is_one_line(server: LocalServer, deaf_port: int, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f'[worker]\nhealth_host = "127.0.0.1"\nhealth_port = {deaf_port}\n')
    code, stderr = await failure("start", "--config", str(path), environment=environment(server))
    assert code == 1 and "Traceback" not in stderr
    assert stderr.splitlines()[-1].startswith("vision-agent: health check: ")
    assert "worker.health_port" in stderr.splitlines()[-1]
