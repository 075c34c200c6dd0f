from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest


def run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from vision_agent.cli import main; raise SystemExit(main())", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def test_ask_answers_with_the_code_that_was_shown() -> None:
    started_s = int(time.time())
    done = run("ask", "--source", "testcard://", "--json", "What does the QR code say?")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == {"answer", "images", "latency_ms"}
    code = int(report["answer"].split("VA-")[1].rstrip("."))
    assert started_s <= code <= int(time.time())
    (image,) = report["images"]
    assert image["source"] == "testcard" and image["mime_type"] == "image/jpeg"
    assert (image["width"], image["height"]) == (768, 432) and image["bytes"] > 1000
    assert 0 <= image["age_ms"] <= 300


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("ask", "--source", "nowhere://", "x"), "unknown kind"),
        (("ask", "--model", "oracle", "x"), "model 'oracle'"),
        (("ask",), "QUESTION"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(args: tuple[str, ...], said: str) -> None:
    done = run(*args)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
