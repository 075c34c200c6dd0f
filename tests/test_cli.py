from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from .clips import BASE_S, write_clip
from .visitor import run


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
        (("ask", "--image", "http://[x", "x"), "picture 'http://[x': not a valid address"),
        (
            ("ask", "--image", "http://host:99999/a.png", "x"),
            "picture 'http://host:99999/a.png': not a valid",
        ),
        (("ask", "--image", "", "x"), "picture '': must be a file"),
        (("ask", "--image", "/", "x"), "picture /: not a file"),
        (("ask",), "QUESTION"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(args: tuple[str, ...], said: str) -> None:
    done = run(*args)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


def test_ask_about_a_file_waits_for_its_first_picture(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=2)
    done = run("ask", "--source", str(clip), "--json", "What does the QR code say?")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert f"VA-{BASE_S}" in report["answer"] or f"VA-{BASE_S + 1}" in report["answer"]
    assert report["images"][0]["source"] == "clip.mp4" and report["images"][0]["age_ms"] <= 500


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("nowhere.mp4", "vision-agent: source 'nowhere.mp4': no such file or directory\n"),
        ("rtsp://me:secret@127.0.0.1:9/x", "vision-agent: rtsp://***@127.0.0.1:9/x: connection refused: "),
    ],
)
def test_ask_about_what_is_not_there_is_one_line_and_exit_1(uri: str, said: str) -> None:
    done = run("ask", "--source", uri, "What do you see?")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1 and "secret" not in done.stderr
