"""What publishing costs: an H.264 clip passed through, and the same clip decoded and encoded.

    python benchmarks/publish.py [--seconds 15] [--rounds 3] [--json FILE]

720p30, one subscriber in another process, a real livekit-server on loopback. Each round runs both
routes, one after the other, each publisher in a separate process. The CPU figure is that of the
publishing process alone, in percent of one core, measured once the subscriber gets pictures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from livekit import rtc

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.clips import write_clip
from tests.waiting import until
from vision_agent.bench.machine import facts
from vision_agent.config import ServerKeys
from vision_agent.publish.access import Access
from vision_agent.publish.publisher import Publisher
from vision_agent.sources import open_source
from vision_agent.testing.server import LocalServer

SIZE_WH, FPS, ROOM = (1280, 720), 30, "bench"
ROUTES = ("passthrough", "encoded")
MAX_SHARE = 0.25


def as_publisher(route: str, clip: str, seconds: float) -> dict[str, float]:
    """Publish the clip, and measure this process while somebody watches."""

    async def run() -> dict[str, float]:
        url, key, secret = sys.stdin.readline().split()
        keys = ServerKeys(url=url, api_key=key, api_secret=secret)
        access = Access(url=url, keys=keys, room=ROOM, identity="camera")
        publisher = Publisher(open_source(clip), access, encode=route == "encoded")
        running = asyncio.create_task(publisher.run(), name="publisher")
        # in the first seconds WebRTC is still looking for the rate
        await until(lambda: publisher.counts.wire_pictures >= 3 * FPS, within_s=30)
        before_s, cpu_s = time.monotonic(), time.process_time()
        pictures, sent = publisher.counts.wire_pictures, publisher.counts.wire_bytes
        await asyncio.sleep(seconds)
        passed_s, cpu_s = time.monotonic() - before_s, time.process_time() - cpu_s
        state, counts = publisher.state, publisher.counts
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert state.route == route
        return {
            "cpu_percent": round(100 * cpu_s / passed_s, 2),
            "fps": round((counts.wire_pictures - pictures) / passed_s, 1),
            "kbps": round(8 * (counts.wire_bytes - sent) / passed_s / 1000),
            "bridged": counts.bridged,
            "rss_mb": round(psutil.Process().memory_info().rss / 1e6),
        }

    return asyncio.run(run())


def as_viewer() -> None:
    """Watch until killed; decode every picture, as a viewer does."""

    async def run() -> None:
        url, token = sys.stdin.readline().split()
        room, streams = rtc.Room(), []

        async def read(track: rtc.Track) -> None:
            async for _ in rtc.VideoStream(track, capacity=1):
                pass

        room.on("track_subscribed", lambda track, *_: streams.append(asyncio.ensure_future(read(track))))
        await room.connect(url, token)
        print("joined", flush=True)
        await asyncio.Event().wait()

    asyncio.run(run())


async def measured(server: LocalServer, route: str, clip: Path, seconds: float) -> dict[str, Any]:
    """Run one publisher and one viewer, each in a separate process."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, __file__, "--clip", str(clip), "--seconds", str(seconds), "--as"]
    viewer = await asyncio.create_subprocess_exec(*command, "viewer", stdin=pipe, stdout=pipe)
    publisher = await asyncio.create_subprocess_exec(*command, route, stdin=pipe, stdout=pipe)
    try:
        assert viewer.stdin is not None and viewer.stdout is not None
        viewer.stdin.write(f"{server.url} {server.token('viewer', ROOM)}\n".encode())
        line = await asyncio.wait_for(viewer.stdout.readline(), 30)
        assert line == b"joined\n"
        told = f"{server.url} {server.api_key} {server.api_secret}\n".encode()
        out, _ = await asyncio.wait_for(publisher.communicate(told), seconds + 60)
        return dict(json.loads(out.decode().splitlines()[-1]))
    finally:
        for process in (viewer, publisher):
            if process.returncode is None:
                process.kill()
            await process.wait()


async def compare(seconds: float, rounds: int) -> dict[str, Any]:
    """Run both routes in turn."""
    runs: dict[str, list[dict[str, Any]]] = {route: [] for route in ROUTES}
    with tempfile.TemporaryDirectory() as folder:
        options = {"g": "30", "bf": "0", "preset": "veryfast", "tune": "zerolatency", "b": "2M"}
        clip = write_clip(Path(folder, "clip.mp4"), size_wh=SIZE_WH, fps=FPS, seconds=10, options=options)
        async with LocalServer() as server:
            for number in range(rounds):
                for route in ROUTES if number % 2 == 0 else reversed(ROUTES):
                    figures = await measured(server, route, clip, seconds)
                    print(
                        f"round {number + 1} of {rounds}: {route:11} {figures['cpu_percent']:6.2f} %",
                        flush=True,
                    )
                    runs[route].append(figures)
    ratios = [
        one["cpu_percent"] / other["cpu_percent"]
        for one, other in zip(runs["passthrough"], runs["encoded"], strict=True)
    ]
    return {"runs": runs, "ratios": [round(ratio, 3) for ratio in ratios]}


def main() -> int:
    """Measure, print a table and JSON; return 1 if the target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--as", dest="role", help=argparse.SUPPRESS)
    parser.add_argument("--clip", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role == "viewer":
        as_viewer()
        return 0
    if args.role:
        print(json.dumps(as_publisher(args.role, args.clip, args.seconds)), flush=True)
        return 0
    report: dict[str, Any] = {
        **facts("python benchmarks/publish.py"),
        "size": "1280x720",
        "fps": FPS,
        "seconds": args.seconds,
        **asyncio.run(compare(args.seconds, args.rounds)),
    }
    for route in ROUTES:
        cpu = [run["cpu_percent"] for run in report["runs"][route]]
        last = report["runs"][route][-1]
        print(
            f"{route:11}  {statistics.median(cpu):6.2f} % ({min(cpu):.2f} to {max(cpu):.2f})"
            f"  {last['fps']:5.1f} fps  {last['kbps']:5} kbit/s  {last['rss_mb']:4} MB"
        )
    ratio = statistics.median(report["ratios"])
    report["met"] = ratio <= MAX_SHARE
    print(f"passthrough / encoded: {ratio:.3f} (target: at most {MAX_SHARE})")
    print(json.dumps(report))
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return int(not report["met"])


if __name__ == "__main__":
    raise SystemExit(main())
