"""The base install on a Raspberry Pi needs no compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("python", ["3.11", "3.13"])  # Raspberry Pi OS bookworm's and trixie's
def test_every_dependency_has_a_wheel_on_aarch64(python: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv isn't in this environment: make setup installs it")
    command = [
        str(uv), "pip", "compile", "--quiet", "pyproject.toml", "--only-binary", ":all:",
        "--python-platform", "aarch64-manylinux_2_36", "--python-version", python,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode and any(word in done.stderr for word in ("error sending request", "dns error")):
        pytest.skip("the package index can't be reached")
    assert done.returncode == 0, done.stderr
    names = {line.partition("==")[0] for line in done.stdout.splitlines() if "==" in line}
    assert {"av", "livekit", "opencv-python-headless", "simplejpeg", "onnxruntime"} <= names
