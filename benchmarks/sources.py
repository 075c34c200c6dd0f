"""What a camera costs while nobody looks: our source at rest, and OpenCV reading the same.

    python benchmarks/sources.py [--seconds 10] [--json FILE]

Each case runs in a separate process, at 1080p30: a motion-JPEG file; a live motion-JPEG camera in
another process (``mjpeg_camera.py``, multipart over HTTP); an H.264 file; and that clip from an RTSP
server in another process (GStreamer's; skipped if it is not installed).
The CPU figure is that of the reading process alone, in percent of one core, measured once pictures flow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.clips import write_clip
from vision_agent.bench.machine import facts

SIZE_WH, FPS = (1920, 1080), 30
MAX_PERCENT = {"mjpeg file": 1.0, "mjpeg http": 1.0, "h264 file": 2.5, "h264 rtsp": 2.5}


def ours(uri: str, seconds: float, demand: str) -> dict[str, float]:
    """Read with our source at this demand."""
    from vision_agent import open_source
    from vision_agent.demand import Demand
    from vision_agent.sources.capture import CaptureSource

    async def run() -> dict[str, float]:
        source = open_source(uri)
        assert isinstance(source, CaptureSource)
        source.set_demand(Demand[demand])
        seen: list[float] = []  # ages in seconds
        arrived = asyncio.Event()

        async def read() -> None:
            async for frame in source.frames():
                seen.append(time.monotonic() - frame.captured_s)
                arrived.set()

        reading = asyncio.create_task(read(), name="read")
        await arrived.wait()
        count, cpu_s, started_s = len(seen), time.process_time(), time.monotonic()
        before = source.statistics
        await asyncio.sleep(seconds)
        passed_s, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_s
        after, count = source.statistics, len(seen) - count
        arrived.clear()
        raised_s = time.monotonic()
        source.set_demand(Demand.ACTIVE)
        await arrived.wait()
        current_ms, age_ms = (time.monotonic() - raised_s) * 1000, seen[-1] * 1000
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await source.aclose()
        assert before is not None and after is not None
        return {
            "cpu_percent": round(100 * cpu_s / passed_s, 2),
            "packets": after.demuxed - before.demuxed,
            "decoded": after.decoded - before.decoded,
            "frames": count,
            "current_after_ms": round(current_ms, 1),
            "age_ms": round(age_ms, 1),
        }

    return asyncio.run(run())


def opencv(uri: str, seconds: float) -> dict[str, float]:
    """Read with ``cv2.VideoCapture`` at the speed at which the clip plays."""
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    import cv2

    capture = cv2.VideoCapture(uri)
    assert capture.read()[0]
    count, cpu_s, started_s = 0, time.process_time(), time.monotonic()
    while (passed_s := time.monotonic() - started_s) < seconds:
        if "://" not in uri:  # without a wait OpenCV reads a file as fast as it can
            time.sleep(max(0.0, count / FPS - passed_s))
        if not capture.read()[0]:
            break
        count += 1
    cpu_s, passed_s = time.process_time() - cpu_s, time.monotonic() - started_s
    return {"cpu_percent": round(100 * cpu_s / passed_s, 2), "frames": count}


@contextmanager
def camera() -> Iterator[str]:
    """Serve motion JPEG as a network camera does, from another process."""
    script = Path(__file__).with_name("mjpeg_camera.py")
    command = [sys.executable, str(script), f"{SIZE_WH[0]}x{SIZE_WH[1]}", str(FPS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/video"
        finally:
            server.kill()


@contextmanager
def served(clip: Path) -> Iterator[str | None]:
    """Serve the clip over RTSP; yield None if GStreamer's server isn't installed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    script = Path(__file__).parents[1] / "tests" / "rtsp_server.py"
    command = ["/usr/bin/python3", str(script), str(port), str(clip), "h264"]
    try:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        yield None
        return
    try:
        assert server.stdout is not None
        yield f"rtsp://127.0.0.1:{port}/live" if server.stdout.readline() == "ready\n" else None
    finally:
        server.kill()
        server.wait()


def measured(how: str, uri: str, seconds: float) -> dict[str, Any]:
    """Run one case in a separate process."""
    command = [sys.executable, __file__, "--case", how, "--uri", uri, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Measure, print a table and JSON; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--uri", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        figures = (
            opencv(args.uri, args.seconds)
            if args.case == "opencv"
            else ours(args.uri, args.seconds, args.case)
        )
        print(json.dumps(figures))
        return 0
    report: dict[str, Any] = {
        **facts("python benchmarks/sources.py"),
        "size": "1920x1080",
        "fps": FPS,
        "seconds": args.seconds,
        "cases": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        length_s = 2 * args.seconds + 10
        h264 = write_clip(
            Path(folder, "h264.mp4"), size_wh=SIZE_WH, fps=FPS, seconds=length_s,
            options={"preset": "ultrafast", "g": "60", "b": "4M"},
        )  # fmt: skip
        jpeg = write_clip(Path(folder, "mjpeg.avi"), size_wh=SIZE_WH, fps=FPS, seconds=4, codec="mjpeg")
        for name, clip in (("mjpeg file", jpeg), ("h264 file", h264)):
            report["cases"][name] = {
                how: measured(how, str(clip), args.seconds if how != "opencv" or clip is h264 else 3.5)
                for how in ("IDLE", "ACTIVE", "opencv")
            }
        with camera() as uri:
            report["cases"]["mjpeg http"] = {
                how: measured(how, uri, args.seconds) for how in ("IDLE", "ACTIVE", "opencv")
            }
        live: dict[str, Any] = {}
        for how in ("IDLE", "ACTIVE", "opencv"):
            with served(h264) as uri:
                if uri is not None:
                    live[how] = measured(how, uri, args.seconds)
        if live:
            report["cases"]["h264 rtsp"] = live
    missed = False
    for name, case in report["cases"].items():
        idle, theirs = case["IDLE"]["cpu_percent"], case["opencv"]["cpu_percent"]
        case["met"] = idle <= MAX_PERCENT[name] and idle <= theirs / 5
        missed |= not case["met"]
        print(
            f"{name:11} idle {idle:5.2f} %  active {case['ACTIVE']['cpu_percent']:5.2f} %  "
            f"cv2 {theirs:5.2f} %  current after {case['IDLE']['current_after_ms']:6.1f} ms"
        )
    print(json.dumps(report))
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
