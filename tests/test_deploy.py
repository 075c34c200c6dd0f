"""The files under ``deploy``: what can be checked of them without systemd and Docker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from livekit import api

from vision_agent.cli import _parser
from vision_agent.config import SOURCE_VARIABLE, TOKEN_VARIABLE, PublishOptions, WorkerOptions
from vision_agent.errors import ConfigError, ServerError
from vision_agent.publish.access import CAMERA_ONLY, DEVICE, Access, Refused

DEPLOY = Path(__file__).parents[1] / "deploy"
DOCS = Path(__file__).parents[1] / "docs"
UNITS = ("vision-agent.service", "vision-agent-publish.service")


def settings(name: str) -> dict[str, str]:
    lines = (DEPLOY / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_unprivileged_restarted_and_runs_a_command_that_is_there(name: str) -> None:
    unit = settings(name)
    assert unit["DynamicUser"] == "yes" and unit["NoNewPrivileges"] == "yes"
    assert unit["CapabilityBoundingSet"] == "" and unit["ProtectSystem"] == "strict"
    assert unit["Restart"] == "on-failure" and "2" in unit["RestartPreventExitStatus"].split()
    program, *args = unit["ExecStart"].split()
    assert program.endswith("/bin/vision-agent")
    assert callable(_parser().parse_args(args).run)


def test_no_source_and_so_no_password_is_on_a_command_line() -> None:
    unit = settings("vision-agent-publish.service")["ExecStart"].split()[1:]
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    camera = services["camera"]
    for args in (unit, camera["command"]):
        assert _parser().parse_args(args).source is None and "SOURCE" not in " ".join(args)
    assert camera["environment"][SOURCE_VARIABLE] == "${VISION_AGENT_SOURCE:-testcard://}"
    assert camera["environment"]["LIVEKIT_API_SECRET"]


def test_a_device_gets_a_token_made_elsewhere_with_the_rights_of_a_camera_and_no_secret() -> None:
    guide = (DOCS / "raspberry-pi.md").read_text(encoding="utf-8")
    making, written = re.findall(r"<<'END'\n(.*?)^END$", guide, re.DOTALL | re.MULTILINE)
    key = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "s" * 40}
    command = [sys.executable, "-c", making]
    environment = {**os.environ, **key}
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    claims = api.TokenVerifier(*key.values()).verify(made.stdout.strip())
    assert claims.video == replace(CAMERA_ONLY, room="home")
    assert (claims.identity, claims.kind) == ("camera-door", DEVICE)
    variables = dict(line.split("=", 1) for line in written.splitlines())
    access = Access.choose(environment={**variables, TOKEN_VARIABLE: made.stdout.strip()})
    assert access.ticket() == made.stdout.strip() and SOURCE_VARIABLE in variables
    assert "SECRET" not in written
    # with the environment of the guide, as systemd fills it in: ROOM is not set
    unit = settings("vision-agent-publish.service")["ExecStart"].replace("${ROOM}", "").split(" ")[1:]
    assert _parser().parse_args(unit).room == ""


def test_the_health_checks_ask_where_the_commands_listen() -> None:
    image = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    worker = WorkerOptions()
    assert f"http://{worker.health_host}:{worker.health_port}/" in image and worker.health_host == "127.0.0.1"
    camera = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["camera"]
    port = _parser().parse_args(["publish", "--metrics-port", camera["command"][-1]]).metrics_port
    assert f"http://{PublishOptions().metrics_host}:{port}/health" in " ".join(camera["healthcheck"]["test"])


def test_what_is_refused_for_good_is_not_started_again() -> None:
    unit = settings("vision-agent-publish.service")
    final = {str(error.exit_code) for error in (ConfigError, Refused)}
    assert final == set(unit["RestartPreventExitStatus"].split()) and str(ServerError.exit_code) not in final
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert re.fullmatch(r"on-failure:\d+", services["camera"]["restart"])


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_a_unit(name: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd isn't here")
    unit = tmp_path / name
    text = (DEPLOY / name).read_text(encoding="utf-8")
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # systemd before 254 doesn't know a back-off that grows, and goes without
    problems = [line for line in done.stderr.splitlines() if name in line and "RestartSteps" not in line]
    assert not [line for line in problems if "RestartMaxDelaySec" not in line], done.stderr
    assert done.returncode == 0


def test_the_compose_file_names_commands_that_are_there_and_holds_no_secret() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    assert set(services) == {"server", "agent", "camera"}
    for name in ("agent", "camera"):
        service = services[name]
        assert service["cap_drop"] == ["ALL"] and service["read_only"] is True
        assert service["environment"]["LIVEKIT_API_SECRET"].startswith("${LIVEKIT_API_SECRET:?")
        filled = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", part) for part in service["command"]]
        assert callable(_parser().parse_args(filled).run)
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_image_is_built_of_files_that_are_there_and_runs_unprivileged() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    stages = text.split("\nFROM ")[1:]
    assert len(stages) == 3
    left_out = (DEPLOY.parent / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        assert not {each.rstrip("/") for each in line.split()[:-1]} & set(left_out)
        *sources, _ = line.split()
        assert all((DEPLOY.parent / source).exists() for source in sources), line
    final = stages[-1]
    assert "\nUSER vision-agent\n" in final and "HEALTHCHECK" in final and "COPY . " not in text
    assert not re.search(r"\b(gcc|build-essential|npm|make)\b", final)
