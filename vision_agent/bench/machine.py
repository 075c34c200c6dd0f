"""The machine, the versions and the command of a run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..testing.server import find_binary

_DISTRIBUTIONS = (
    "av",
    "livekit",
    "livekit-agents",
    "livekit-vision-agent",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "simplejpeg",
)


def facts(command: str) -> dict[str, Any]:
    """Return what a report says about its run: commit, date, command, machine and versions.

    Args:
        command: How the program is called, such as ``vision-agent``; its arguments are added.
    """
    return {
        "commit": commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join([command, *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
    }


def machine() -> dict[str, Any]:
    """Return processor, cores, memory and system."""
    return {
        "cpu": _field("/proc/cpuinfo", ("model name", "Model", "Hardware"))
        or platform.processor()
        or "unknown",
        "cores": os.cpu_count(),
        "memory": _field("/proc/meminfo", ("MemTotal",)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def versions() -> dict[str, str]:
    """Return the versions of the measured packages and of the server."""
    found = {name: _version(name) for name in _DISTRIBUTIONS} | {"livekit-server": _server_version()}
    return {name: version for name, version in found.items() if version}


def commit() -> str:
    """Return the project's git commit, with ``+`` if files differ from it, or ``unknown``."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    here = Path(__file__).parent
    done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _server_version() -> str:
    try:
        done = subprocess.run([find_binary(), "--version"], capture_output=True, text=True, timeout=10)
    except (ConfigError, OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().rpartition(" ")[2]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _field(path: str, names: tuple[str, ...]) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return next((found[name] for name in names if found.get(name)), "")
