"""Motion JPEG over HTTP and HLS from a local web server."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from pathlib import Path

import av
import pytest
from aiohttp import web

from vision_agent import Frame, SourceError
from vision_agent.demand import Demand
from vision_agent.imaging.jpeg import encode_rgb
from vision_agent.sources.reader import Reader
from vision_agent.sources.testcard import render
from vision_agent.views.watcher import Watcher

from .clips import BASE_S, second_in, write_clip
from .servers import web_server
from .waiting import until
from .watching import demuxed, opened, seen_again, watched


class MjpegCamera:
    """Sends the testcard as multipart pictures, at most 15 per second."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.clients = 0
        self.size_wh, self.fps = (640, 360), 15
        self.talking = asyncio.Event()
        self.talking.set()
        self.is_torn = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("login") and request.headers.get("Authorization") != "Basic YTpi":
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="camera"'})
        headers = {"Content-Type": "multipart/x-mixed-replace; boundary=frame"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        self.clients += 1
        try:
            while True:
                await self.talking.wait()
                card = render(BASE_S + time.monotonic() - self.started_s, self.size_wh)
                data = encode_rgb(card, max_side_px=4096).data
                if self.is_torn:
                    data = data[: len(data) // 2]
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                await response.write(head.encode() + data + b"\r\n")
                await asyncio.sleep(1 / self.fps)
        except ConnectionResetError:
            return response
        finally:
            self.clients -= 1

    def is_right(self, frame: Frame) -> bool:
        """Return whether a frame shows its own time, or up to 0.1 s before: drawing takes time."""
        shown_s, said_s = second_in(frame), frame.captured_s - self.started_s
        return shown_s in (math.floor(said_s), math.floor(said_s - 0.15))


def _count(news: threading.Semaphore) -> int:
    count = 0
    while news.acquire(blocking=False):
        count += 1
    return count


async def test_motion_jpeg_is_current_at_every_demand_and_never_decoded() -> None:
    camera = MjpegCamera()
    async with web_server(web.get("/video", camera.handle)) as port:
        source = opened(f"http://127.0.0.1:{port}/video?fps=15")
        async with watched(source) as latest:
            for demand in (Demand.ACTIVE, Demand.IDLE):
                source.set_demand(demand)
                for _ in range(20):
                    frame = await latest.next()
                    assert frame.jpeg is not None and camera.is_right(frame)
            assert source.statistics is not None and source.statistics.decoded == 0
            source.set_demand(Demand.OFF)
            await until(lambda: camera.clients == 0)
            source.set_demand(Demand.IDLE)
            assert camera.is_right(await latest.next())


async def test_at_rest_the_loop_is_woken_for_few_of_the_pictures_and_a_raise_brings_the_newest() -> None:
    camera, news = MjpegCamera(), threading.Semaphore(0)
    camera.fps = 50
    async with web_server(web.get("/video", camera.handle)) as port:
        source = opened(f"http://127.0.0.1:{port}/video")
        reader = Reader(source.input, name="camera", demand=Demand.IDLE, on_news=news.release)
        reader.start()
        try:
            await until(lambda: reader.statistics.demuxed > 50)
            told, read = _count(news), reader.statistics.demuxed
            assert 2 <= told <= read / 2
            assert reader.statistics.dropped >= read - 2  # nobody took any: the newest is kept
            reader.take()
            _count(news)
            read = reader.statistics.demuxed
            await until(lambda: reader.statistics.demuxed > read)
            before = _count(news)
            reader.set_demand(Demand.ACTIVE)
            frame = reader.take()
            assert frame is not None and time.monotonic() - frame.captured_s < 0.5
            assert before + _count(news) >= 1
        finally:
            reader.stop()
            await until(lambda: reader.finished)


async def test_a_slow_reader_gets_the_picture_of_now() -> None:
    camera = MjpegCamera()
    async with web_server(web.get("/video", camera.handle)) as port:
        source = opened(f"http://127.0.0.1:{port}/video")
        frames = source.frames()
        for _ in range(2):
            await anext(frames)
            await demuxed(source, 30)
            await anext(frames)
            frame = await anext(frames)
            assert time.monotonic() - frame.captured_s < 0.5 and camera.is_right(frame)
        await source.aclose()


async def test_size_changes_and_torn_pictures_on_the_way() -> None:
    camera = MjpegCamera()
    async with web_server(web.get("/video", camera.handle)) as port:
        source = opened(f"http://127.0.0.1:{port}/video")
        async with watched(source) as latest:
            await latest.next()
            camera.size_wh = (720, 404)
            await until(lambda: latest.frame is not None and latest.frame.width == 720)
            camera.is_torn = True
            await until(lambda: source.statistics is not None and source.statistics.corrupt > 3)
            camera.is_torn = False
            count = latest.count
            await until(lambda: latest.count > count + 3)
            assert camera.is_right(await latest.next())


async def test_password_and_path() -> None:
    camera = MjpegCamera()
    async with web_server(web.get("/video", camera.handle)) as port:
        async with watched(opened(f"http://a:b@127.0.0.1:{port}/video?login=1")) as latest:
            assert camera.is_right(await latest.next())
        with pytest.raises(SourceError, match=r"\(401\): write http://user:password@host"):
            await anext(opened(f"http://127.0.0.1:{port}/video?login=1").frames())
        with pytest.raises(SourceError, match=r"nothing there \(404\)"):
            await anext(opened(f"http://127.0.0.1:{port}/garden").frames())


async def test_a_camera_that_falls_silent_is_told_and_seen_again() -> None:
    camera = MjpegCamera()
    async with web_server(web.get("/video", camera.handle)) as port:
        watcher = Watcher(opened(f"http://127.0.0.1:{port}/video", read_timeout_s=0.7))
        watcher.start()
        try:
            assert await watcher.fresh(max_age_s=0.3, max_wait_s=5) is not None
            camera.talking.clear()
            await until(lambda: "no data came for 0.7 s" in (watcher.problem() or ""))
            camera.talking.set()
            assert camera.is_right(await seen_again(watcher, max_age_s=0.3, within_s=5))
        finally:
            await watcher.aclose()


def cut_up(folder: Path, *, seconds: int) -> list[Path]:
    """Write HLS pieces of a second each."""
    clip = write_clip(folder / "clip.mp4", seconds=seconds, options={"g": "15", "tune": "zerolatency"})
    options = {"hls_time": "1", "hls_list_size": "0"}
    with av.open(str(clip)) as recorded, av.open(str(folder / "live.m3u8"), "w", "hls", options) as pieces:
        stream = pieces.add_stream_from_template(recorded.streams.video[0])
        for packet in recorded.demux(video=0):
            if packet.size:
                packet.stream = stream
                pieces.mux(packet)
    return sorted(folder.glob("*.ts"), key=lambda path: int(path.stem.removeprefix("live")))


async def test_a_recorded_playlist_plays_at_real_speed(tmp_path: Path) -> None:
    pieces = await asyncio.to_thread(cut_up, tmp_path, seconds=4)
    assert len(pieces) == 4
    async with web_server(web.static("/", tmp_path)) as port:
        source = opened(f"http://127.0.0.1:{port}/live.m3u8")
        async with watched(source) as latest:
            first = await latest.next()
            begun_s = first.captured_s - (second_in(first) or 0)
            while (passed_s := time.monotonic() - begun_s) < 2.8:
                frame = await latest.next()
                assert abs((second_in(frame) or 0) + 0.5 - (frame.captured_s - begun_s)) < 0.9
            assert source.statistics is not None and source.statistics.demuxed <= 15 * (passed_s + 1)
            source.set_demand(Demand.IDLE)
            before = source.statistics.decoded
            await demuxed(source, 22)
            assert source.statistics.decoded - before <= 3
            source.set_demand(Demand.ACTIVE)
            assert time.monotonic() - (await latest.next()).captured_s < 0.5


async def test_a_live_playlist_is_followed_at_its_end(tmp_path: Path) -> None:
    pieces = await asyncio.to_thread(cut_up, tmp_path, seconds=30)
    started_s = time.monotonic() - 5
    talking = asyncio.Event()
    talking.set()

    async def playlist(request: web.Request) -> web.Response:
        await talking.wait()
        done = min(len(pieces), int(time.monotonic() - started_s))
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            "#EXT-X-TARGETDURATION:1",
            f"#EXT-X-MEDIA-SEQUENCE:{done - 4}",
        ]
        for piece in pieces[done - 4 : done]:
            lines += ["#EXTINF:1.0,", piece.name]
        return web.Response(text="\n".join(lines) + "\n", content_type="application/vnd.apple.mpegurl")

    async with web_server(web.get("/now.m3u8", playlist), web.static("/", tmp_path)) as port:
        source = opened(f"http://127.0.0.1:{port}/now.m3u8")
        async with watched(source) as latest:

            async def look(count: int) -> None:
                for _ in range(count):
                    frame = await latest.next()
                    late_s = frame.captured_s - started_s - ((second_in(frame) or 0) + 0.5)
                    assert late_s < 3.5  # a piece is late by its own length, and by the list's
                    assert time.monotonic() - frame.captured_s < 0.5

            async def passes(seconds: float) -> None:
                end_s = time.monotonic() + seconds
                await until(lambda: time.monotonic() > end_s)

            await look(50)
            talking.clear()  # a stall
            await passes(3.5)
            count = latest.count
            talking.set()
            await until(lambda: latest.count > count)
            await look(20)
            source.set_demand(Demand.OFF)
            await passes(3.5)
            source.set_demand(Demand.ACTIVE)
            await look(20)
