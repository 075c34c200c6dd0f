"""Each finding of ``vision-agent doctor``, with the real part in the state that the finding describes."""

from __future__ import annotations

import json
import socket
from importlib import metadata
from pathlib import Path

import pytest

from vision_agent.doctor import (
    Finding,
    cameras,
    diagnose,
    is_fine,
    model_of,
    packages,
    python,
    report,
    server_binary,
    server_of,
    table,
)
from vision_agent.models import OfflineLLM
from vision_agent.sources import Camera, CameraFormat
from vision_agent.testing.server import LocalServer

from .visitor import run

NO_KEYS: dict[str, str] = {}


def environment(url: str, secret: str = "s" * 40) -> dict[str, str]:
    return {"LIVEKIT_URL": url, "LIVEKIT_API_KEY": "local", "LIVEKIT_API_SECRET": secret}


@pytest.mark.server
async def test_a_server_with_the_right_and_the_wrong_key() -> None:
    async with LocalServer() as server:
        found = await server_of(environment(server.url, server.api_secret))
        assert (found.state, found.detail) == ("ok", f"{server.url} answers and knows the key")
        found = await server_of(environment(server.url))
        assert found.state == "problem" and "check LIVEKIT_API_KEY and LIVEKIT_API_SECRET" in found.detail
        assert "s" * 40 not in found.detail


async def test_nothing_listens_where_the_server_should_be() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = await server_of(environment(f"ws://127.0.0.1:{port}"))
    assert found.state == "problem" and "check LIVEKIT_URL" in found.detail and "\n" not in found.detail


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        found = await server_of(environment(f"ws://127.0.0.1:{silent.getsockname()[1]}"), timeout_s=0.3)
    assert found.state == "problem" and "no answer in 0.3 s" in found.detail


async def test_half_a_set_of_keys_is_a_problem_and_none_is_not() -> None:
    found = await server_of({"LIVEKIT_URL": "ws://x"})
    assert found.state == "problem" and "LIVEKIT_API_KEY, LIVEKIT_API_SECRET not set" in found.detail
    assert (await server_of(NO_KEYS)).state == "note"


@pytest.mark.server
async def test_the_binary_is_found_with_its_version_or_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = await server_binary()
    assert found.state == "ok" and found.detail.split()[0].count(".") == 2
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = await server_binary()
    assert found.state == "note" and "make server" in found.detail
    findings = await diagnose(environment=NO_KEYS)  # there is no server at all, as on a Pi that only asks
    (server,) = [each for each in findings if each.name == "server"]
    assert server.state == "note" and "`ask` and `chat` need none" in server.detail and is_fine(findings)


async def test_the_model_reads_a_card_or_lacks_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await model_of("offline")
    assert found.state == "ok" and "reads a testcard: VA-" in found.detail
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    found = await model_of("google/gemini-2.5-flash")
    assert found.state == "problem" and "set GOOGLE_API_KEY" in found.detail
    monkeypatch.setenv("GOOGLE_API_KEY", "hidden")
    found = await model_of("google/gemini-2.5-flash")
    assert found.state == "ok" and "hidden" not in found.detail
    assert (await model_of("oracle")).state == "problem"


async def test_a_model_that_can_not_read_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision_agent.models.reading.read_codes", lambda rgb: [])
    assert "did not read the code" in (await model_of("offline")).detail
    assert OfflineLLM().model == "offline"


def test_python_and_packages_are_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert python().state == "ok"
    assert packages().state == "ok"
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.1" if name == "numpy" else real(name))
    found = packages()
    assert (
        found.state == "problem" and "numpy 0.1 does not fit" in found.detail and "make setup" in found.detail
    )


def test_cameras_are_listed_with_what_they_can_send() -> None:
    assert cameras([], "linux")[0].detail.startswith("no camera here")
    formats = (
        CameraFormat(pixel_format="mjpeg", size_wh=(640, 480), max_fps=30),
        CameraFormat(pixel_format="mjpeg", size_wh=(1920, 1080), max_fps=29.97),
        CameraFormat(pixel_format="yuyv", size_wh=(640, 480), max_fps=0),
    )
    found = cameras(
        [
            Camera(path="/dev/video0", name="Desk Camera", formats=formats),
            Camera(path="/dev/video2", name="Closed", formats=(), problem="permission denied"),
            Camera(path="/dev/video4", name="Used", formats=(), problem="device or resource busy"),
        ],
        "linux",
    )
    assert [each.state for each in found] == ["ok", "note", "note"]
    said = "/dev/video0 Desk Camera: mjpeg 640x480@30 1920x1080@29.97; yuyv 640x480"
    assert found[0].detail == said
    assert "often `video`" in found[1].detail and "close the program" in found[2].detail
    assert cameras(system="darwin")[0].state == "note"


async def test_a_broken_config_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[vision]\nmax_age_ms = 300\n")
    findings = await diagnose(config_path=path, environment=NO_KEYS)
    (config,) = [each for each in findings if each.name == "config"]
    assert config.state == "problem" and "did you mean max_age_s?" in config.detail
    assert not is_fine(findings) and report(findings)["ok"] is False


def test_the_table_has_a_line_for_each() -> None:
    findings = [Finding(name="a", state="ok", detail="x"), Finding(name="long", state="problem", detail="y")]
    assert table(findings).splitlines() == ["OK       a     x", "PROBLEM  long  y"]


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "VISION_AGENT_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    done = run("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["ok"] is True
    done = run("doctor", "--model", "oracle")
    assert done.returncode == 1 and "PROBLEM  model " in done.stdout and done.stderr == ""
