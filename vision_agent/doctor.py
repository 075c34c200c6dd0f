"""``vision-agent doctor``: checks every part that is needed, and says how to fix what is wrong."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from livekit.agents import llm
from packaging.requirements import Requirement

from .config import CONFIG_VARIABLE, ENVIRONMENT, SERVER_VARIABLES, Config, ServerKeys, load_config
from .errors import VisionAgentError
from .imaging.frame import Frame
from .imaging.jpeg import encode_jpeg
from .models import OfflineLLM, open_model
from .redaction import without_secrets
from .sources import Camera, list_cameras
from .sources.testcard import code_at, render
from .testing.server import find_binary
from .waiting import within
from .worker import check_server

DISTRIBUTION = "livekit-vision-agent"
OK, NOTE, PROBLEM = "ok", "note", "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    name: str
    """The part."""
    state: str
    """``ok``, ``note`` (missing, and only some need it) or ``problem``."""
    detail: str
    """What was found and, if it is not ok, what to do: one line."""


async def diagnose(
    *,
    config_path: Path | None = None,
    model: str | None = None,
    environment: Mapping[str, str] = ENVIRONMENT,
) -> list[Finding]:
    """Check everything; the slow checks run at the same time.

    Args:
        config_path: Config file; None for the one the environment names.
        model: Model instead of the config's.
        environment: Has ``LIVEKIT_URL``, the key and the secret.
    """
    settings, config = _config(config_path)
    if model is not None:
        config = replace(config, agent=replace(config.agent, model=model))
    binary, server, answering = await asyncio.gather(
        server_binary(), server_of(environment), model_of(config.agent.model)
    )
    if server.state == NOTE and binary.state == NOTE:
        what = (
            "none here and none named: `ask` and `chat` need none; for a room "
            f"set {', '.join(SERVER_VARIABLES)}, or run `make server`"
        )
        server = Finding(name=server.name, state=NOTE, detail=what)
    return [python(), packages(), settings, binary, server, answering, *cameras()]


def table(findings: Sequence[Finding]) -> str:
    """Return the findings as lines of text."""
    width = max(len(each.name) for each in findings)
    return "\n".join(f"{each.state.upper():<7}  {each.name:<{width}}  {each.detail}" for each in findings)


def report(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as ``--json`` prints them."""
    return {"ok": is_fine(findings), "checks": [asdict(each) for each in findings]}


def is_fine(findings: Sequence[Finding]) -> bool:
    """Return whether no check found a problem."""
    return all(each.state != PROBLEM for each in findings)


def python() -> Finding:
    """Check Python against the version that the package requires."""
    asked = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if Requirement(f"python{asked}").specifier.contains(platform.python_version(), prereleases=True):
        return Finding(name="python", state=OK, detail=found)
    return Finding(
        name="python", state=PROBLEM, detail=f"{found}: {asked} is needed, make a new .venv with it"
    )


def packages(distribution: str = DISTRIBUTION) -> Finding:
    """Check each package that is needed, by name and version."""
    needed = [Requirement(line) for line in metadata.requires(distribution) or ()]
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = []
    for each in needed:
        try:
            version = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{each.name} is missing")
            continue
        if not each.specifier.contains(version, prereleases=True):
            wrong.append(f"{each.name} {version} does not fit {each.specifier}")
    if wrong:
        detail = f"{'; '.join(wrong)}: run `make setup`, or `pip install --upgrade {distribution}`"
        return Finding(name="packages", state=PROBLEM, detail=detail)
    agents = metadata.version("livekit-agents")
    detail = f"{len(needed)} of {len(needed)} as needed; livekit-agents {agents}"
    return Finding(name="packages", state=OK, detail=detail)


async def server_binary() -> Finding:
    """Look for a livekit-server to start here, as the demo does."""
    name = "livekit-server"
    try:
        path = find_binary()
        process = await asyncio.create_subprocess_exec(
            str(path), "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        said, _ = await within(10, process.communicate())
    except VisionAgentError as error:
        return Finding(name=name, state=NOTE, detail=f"{error}; only the demo needs it")
    except (OSError, asyncio.TimeoutError):
        return Finding(name=name, state=NOTE, detail=f"{path} does not run: only the demo needs it")
    version = said.decode(errors="replace").strip().removeprefix("livekit-server version ")
    return Finding(name=name, state=OK, detail=f"{version or 'unknown version'} at {path}")


async def server_of(environment: Mapping[str, str], *, timeout_s: float = 5.0) -> Finding:
    """Ask the server of the environment whether it knows the key."""
    name = "server"
    if not any(environment.get(variable) for variable in SERVER_VARIABLES):
        detail = "none named; for `dev` and `start` set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
        return Finding(name=name, state=NOTE, detail=detail)
    try:
        keys = ServerKeys.from_environment(environment)
        await check_server(keys, timeout_s=timeout_s)
    except VisionAgentError as error:
        return Finding(name=name, state=PROBLEM, detail=str(error))
    return Finding(name=name, state=OK, detail=f"{without_secrets(keys.url)} answers and knows the key")


async def model_of(name: str) -> Finding:
    """Open the model; let the built-in one read a new random code."""
    try:
        async with open_model(name) as model:
            if not isinstance(model, OfflineLLM):
                detail = f"{name}: a key is set; it is tried with the first question"
                return Finding(name="model", state=OK, detail=detail)
            said, code = await _read_a_card(model)
    except VisionAgentError as error:
        return Finding(name="model", state=PROBLEM, detail=str(error))
    if code not in said:
        detail = f"{name} did not read the code of the testcard: reinstall opencv-python-headless"
        return Finding(name="model", state=PROBLEM, detail=detail)
    return Finding(name="model", state=OK, detail=f"{name} reads a testcard: {code}")


def cameras(found: Sequence[Camera] | None = None, system: str = sys.platform) -> list[Finding]:
    """Report for each camera of a Linux machine what it can send, or why it does not answer.

    Args:
        found: The cameras; None: ask the system.
        system: As ``sys.platform`` names it.
    """
    if system != "linux":
        detail = f"not listed on {system}: open one by its name, camera://NAME"
        return [Finding(name="camera", state=NOTE, detail=detail)]
    findings = []
    for camera in list_cameras() if found is None else found:
        what = f"{camera.path} {camera.name}".rstrip()
        if camera.problem is None:
            detail = f"{what}: {_formats(camera) or 'it does not say what it can send'}"
            findings.append(Finding(name="camera", state=OK, detail=detail))
            continue
        way_out = "close the program that uses it, or plug it in again"
        if camera.problem == "permission denied":
            way_out = f"add yourself to the group of {camera.path}, often `video`, and log in again"
        detail = f"{what} can't be asked, {camera.problem}: {way_out}"
        findings.append(Finding(name="camera", state=NOTE, detail=detail))
    none = "no camera here: use testcard://, a file or an address, or the camera of a participant in a room"
    return findings or [Finding(name="camera", state=NOTE, detail=none)]


def _formats(camera: Camera) -> str:
    """Return one word per size, by pixel format: ``mjpeg 640x480@30 1920x1080@60; yuyv 640x480@30``."""
    by_format: dict[str, list[str]] = {}
    for each in camera.formats:
        size = each.sizes() + (f"@{each.max_fps:g}" if each.max_fps else "")
        by_format.setdefault(each.pixel_format, []).append(size)
    return "; ".join(f"{name} {' '.join(sizes)}" for name, sizes in by_format.items())


def _config(path: Path | None) -> tuple[Finding, Config]:
    named = path or ENVIRONMENT.get(CONFIG_VARIABLE)
    try:
        config = load_config(path)
    except VisionAgentError as error:
        return Finding(name="config", state=PROBLEM, detail=str(error)), Config()
    return Finding(name="config", state=OK, detail=str(named) if named else "the defaults"), config


async def _read_a_card(model: OfflineLLM) -> tuple[str, str]:
    second = int.from_bytes(os.urandom(3), "big")  # nobody can know it in advance
    card = Frame.from_rgb(render(float(second)), captured_s=0.0, source="testcard")
    request = llm.ChatContext.empty()
    picture = llm.ImageContent(image=encode_jpeg(card).data_url())
    request.add_message(role="user", content=["What does the QR code say?", picture])
    said = await model.chat(chat_ctx=request).collect()
    return said.text, code_at(second)
