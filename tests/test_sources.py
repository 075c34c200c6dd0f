"""Files and pictures as sources: what they show when, what they cost, and their messages about faults."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from av.video.stream import VideoStream
from PIL import Image

from vision_agent import ConfigError, Frame, SourceError, encode_jpeg, open_source
from vision_agent.demand import Demand
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.redaction import without_secrets
from vision_agent.sources.clock import Arrivals, Pace
from vision_agent.sources.jpeg_packet import whole_jpeg
from vision_agent.sources.pictures import PictureSource

from .clips import second_in, write_clip
from .waiting import until
from .watching import demuxed, opened, watched


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "h264.mp4")
    write_clip(folder / "reordered.mp4", options={"preset": "veryfast", "g": "60", "bf": "3"})
    write_clip(folder / "mjpeg.avi", codec="mjpeg")
    write_clip(folder / "short.mp4", seconds=1)
    return folder


@pytest.mark.parametrize("name", ["h264.mp4", "reordered.mp4", "mjpeg.avi"])
async def test_a_file_plays_at_real_speed(clips: Path, name: str) -> None:
    source = opened(clips / name)
    async with watched(source) as latest:
        await latest.next()
        started_s = time.monotonic() - 1 / 15
        while (passed_s := time.monotonic() - started_s) < 3:
            frame = await latest.next()
            shown = second_in(frame)
            due_s = frame.captured_s - started_s
            assert shown is not None and shown - 0.25 <= due_s <= shown + 1.25
            assert 0 <= time.monotonic() - frame.captured_s < 0.3
        assert source.statistics is not None and source.statistics.demuxed <= 15 * (passed_s + 0.5)
    assert source.full_size_wh == (320, 180)


async def test_idle_decodes_key_pictures_only_and_active_is_current_at_once(clips: Path) -> None:
    source = opened(clips / "reordered.mp4")  # one key frame in 4 s
    source.set_demand(Demand.IDLE)
    async with watched(source) as latest:
        first = await latest.next()
        await until(lambda: source.statistics is not None and source.statistics.demuxed >= 30)
        assert source.statistics is not None and source.statistics.decoded == latest.count == 1
        assert latest.frame is first and second_in(first) == 0
        asked_s = time.monotonic()
        source.set_demand(Demand.ACTIVE)
        frame = await latest.next()
        assert time.monotonic() - asked_s < 0.3
        assert time.monotonic() - frame.captured_s < 0.5
        passed_s = frame.captured_s - first.captured_s
        assert second_in(frame) == int(passed_s) >= 1
        assert source.statistics.decoded > 10


async def test_idle_motion_jpeg_is_never_decoded_and_always_current(clips: Path) -> None:
    source = opened(clips / "mjpeg.avi")
    source.set_demand(Demand.IDLE)
    async with watched(source) as latest:
        first = await latest.next()
        for _ in range(10):
            frame = await latest.next()
            assert frame.jpeg is not None and time.monotonic() - frame.captured_s < 0.3
        assert second_in(frame) == int(frame.captured_s - first.captured_s + 1 / 15)
        assert source.statistics is not None and source.statistics.decoded == 0


async def test_off_pauses_a_file_and_it_goes_on_from_there(clips: Path) -> None:
    source = opened(clips / "h264.mp4")
    async with watched(source) as latest:
        await latest.next()
        source.set_demand(Demand.OFF)
        async with watched(opened(clips / "h264.mp4")) as beside:
            await beside.more(2)  # the packet that was due has come
            count = latest.count
            await beside.more(20)
        assert latest.count == count
        source.set_demand(Demand.ACTIVE)
        await latest.next()
        assert second_in(await latest.next()) == 0


async def test_a_slow_reader_gets_the_picture_of_now(clips: Path) -> None:
    source = opened(clips / "h264.mp4")
    async for frame in source.frames():
        started_s = frame.captured_s
        break
    frames = source.frames()
    first = await anext(frames)
    await demuxed(source, 37)  # at 15 a second
    await anext(frames)  # what lay in the slot is the newest, too
    frame = await anext(frames)
    assert time.monotonic() - frame.captured_s < 0.5
    assert second_in(frame) == int(frame.captured_s - first.captured_s) == 2
    assert source.statistics is not None and source.statistics.dropped > 20
    await source.aclose()
    assert started_s < first.captured_s


async def test_a_title_that_is_not_utf_8_is_no_reason_not_to_look(clips: Path, tmp_path: Path) -> None:
    clip = tmp_path / "latin.mp4"
    packed = (clips / "short.mp4").read_bytes()
    assert b"Lavf" in packed  # the name of the program that wrote it
    clip.write_bytes(packed.replace(b"Lavf", b"\xe9\xe8\xfcf"))
    async with watched(opened(clip)) as latest:
        assert second_in(await latest.next()) == 0


async def test_a_file_begins_again_or_ends(clips: Path) -> None:
    async with watched(opened(clips / "short.mp4")) as latest:
        seen: list[float] = []
        while len(seen) < 40:  # more than two rounds of 15
            seen.append((await latest.next()).captured_s)
        steps = np.diff(seen)
        assert steps.max() < 0.5 and seen[-1] - seen[0] > 2
    once = opened(f"{clips / 'short.mp4'}?loop=0")
    frames = [frame async for frame in once.frames()]
    assert 10 <= len(frames) <= 15 and once.problem == "the recording has ended"
    assert frames[-1].captured_s - frames[0].captured_s > 0.7


@pytest.mark.parametrize("matrix", [5, 1], ids=["bt601", "bt709"])
@pytest.mark.parametrize("colour_range", [1, 2], ids=["limited", "full"])
async def test_colours_are_those_of_the_stream_s_own_matrix(
    tmp_path: Path, matrix: int, colour_range: int
) -> None:
    rgb, path = (200, 30, 30), tmp_path / "red.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, colour_range
        red = av.VideoFrame.from_ndarray(np.full((180, 320, 3), rgb, np.uint8), format="rgb24")
        for _ in range(15):
            container.mux(
                stream.encode(
                    red.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=colour_range)
                )
            )
        container.mux(stream.encode())
    async with watched(opened(path)) as latest:
        frame = await latest.next()
    assert frame.bt709 == (matrix == 1) and frame.full_range == (colour_range == 2)
    for seen in (decode_jpeg(encode_jpeg(frame, quality=95).data), frame.to_rgb()):
        assert np.abs(seen.mean(axis=(0, 1)) - rgb).max() <= 3


@pytest.mark.parametrize("rotate_deg", [0, 90, 180, -90])
async def test_a_turned_recording_comes_upright(tmp_path: Path, rotate_deg: int) -> None:
    path = write_clip(tmp_path / "turned.mp4", seconds=0.4, rotate_deg=rotate_deg)
    async with watched(opened(path)) as latest:
        frame = await latest.next()
    assert frame.rotation_deg == -rotate_deg % 360
    size_wh = (180, 320) if rotate_deg in (90, -90) else (320, 180)
    image = encode_jpeg(frame)
    assert (image.width, image.height) == size_wh


@pytest.mark.parametrize(
    ("codec", "pixel_format", "name"),
    [
        ("libx264", "yuv420p", "x.mp4"),
        ("libx264", "yuvj420p", "x.mp4"),  # full range
        ("libx264", "yuv422p", "x.mp4"),
        ("libx264", "yuv444p", "x.mkv"),
        ("libx264", "nv12", "x.mp4"),
        ("libx265", "yuv420p10le", "x.mkv"),
        ("libvpx-vp9", "yuv420p", "x.webm"),
        ("mjpeg", "yuvj422p", "x.avi"),
        ("rawvideo", "yuyv422", "x.avi"),  # what many webcams send
        ("png", "rgb24", "x.mov"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*deprecated pixel format.*")
async def test_the_colours_of_every_pixel_format(
    tmp_path: Path, codec: str, pixel_format: str, name: str
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"qscale": "2"}
    if codec in ("libx264", "libvpx-vp9"):
        options = {"crf": "10", "b": "2M"}
    path = write_clip(
        tmp_path / name,
        codec=codec,
        seconds=0.4,
        pixel_format=pixel_format,
        options=options,
        size_wh=(322, 182),
    )
    async with watched(opened(path)) as latest:
        rgb = (await latest.next()).to_rgb()
    assert rgb.shape == (182, 322, 3)
    assert np.abs(rgb[2:20, 5:300].mean(axis=(0, 1)) - (236, 236, 228)).max() < 4  # the card's paper
    columns = np.abs(rgb[-9:-3].mean(axis=0) - (200, 40, 40)).max(axis=1)
    assert (columns < 14).sum() >= 5  # the moving square, wherever it is by now


async def test_the_size_may_change_in_the_middle(tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{width}.ts", size_wh=(width, width // 2), seconds=1) for width in (320, 400)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    source = opened(path)
    async with watched(source) as latest:
        assert (await latest.next()).width == 320
        await until(lambda: latest.frame is not None and latest.frame.width == 400, within_s=4)
        assert latest.frame is not None and latest.frame.height == 200


async def test_corrupt_packets_are_counted_and_left_out(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "torn.avi", codec="mjpeg", seconds=2)
    data = bytearray(path.read_bytes())
    starts = [found.start() for found in re.finditer(rb"\xff\xd8\xff\xfe", data)]
    for start in starts[5:25:4]:
        data[start : start + 2] = b"\0\0"
    path.write_bytes(data)
    source = opened(f"{path}?loop=0")
    frames = [frame async for frame in source.frames()]
    assert source.statistics is not None and source.statistics.corrupt == 5
    assert all(second_in(frame) is not None for frame in frames) and len(frames) > 15


async def test_damaged_h264_goes_on(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "torn.ts", seconds=3)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = os.urandom(2000)
    path.write_bytes(data)
    frames = [frame async for frame in opened(f"{path}?loop=0").frames()]
    assert second_in(frames[-1]) == 2


async def test_nothing_is_left_over_after_fifty_rounds(clips: Path) -> None:
    process = psutil.Process()
    for round_number in range(52):
        if round_number == 2:
            handles, threads = process.num_fds(), threading.active_count()
        name = ("h264.mp4", "mjpeg.avi")[round_number % 2]
        async with watched(opened(clips / name)) as latest:
            await latest.next()
    await until(lambda: threading.active_count() <= threads)
    assert process.num_fds() <= handles


async def test_a_source_that_nobody_reads_opens_nothing(clips: Path) -> None:
    source = opened(clips / "h264.mp4")
    assert source.statistics is None and source.full_size_wh is None
    await source.aclose()
    await source.aclose()


async def test_a_picture_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "now.png"
    Image.new("RGB", (64, 48), (200, 30, 30)).save(path)
    source = open_source(f"{path}?interval_s=0.2")
    assert isinstance(source, PictureSource)
    async with watched(source) as latest:
        frame = await latest.next()
        assert (frame.width, frame.height) == (64, 48)
        Image.new("RGB", (32, 24), (30, 30, 200)).save(tmp_path / "next.png")
        (tmp_path / "next.png").replace(path)
        await until(lambda: latest.frame is not None and latest.frame.width == 32)
        frame = await latest.next()
        assert np.abs(frame.to_rgb().mean(axis=(0, 1)) - (30, 30, 200)).max() < 4
        assert time.monotonic() - frame.captured_s < 0.2


async def test_the_pictures_of_a_folder_are_shown_in_turn(tmp_path: Path) -> None:
    for index, level in enumerate((40, 120, 200)):
        Image.new("L", (40, 30), level).save(tmp_path / f"{index}.{'jpg' if index else 'webp'}")
    (tmp_path / "1b.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not shown")
    source = open_source(f"{tmp_path}?interval_s=0.6&loop=0")
    assert isinstance(source, PictureSource)
    shown: dict[int, float] = {}
    async for frame in source.frames():
        shown.setdefault(round(frame.to_rgb().mean() / 40) * 40, frame.captured_s)
    assert list(shown) == [40, 120, 200] and source.unreadable == 1
    assert np.allclose(np.diff(list(shown.values())), 0.6, atol=0.4)
    assert source.problem == "the last picture was shown"


@pytest.mark.parametrize(("orientation", "rotation_deg"), [(1, 0), (3, 180), (6, 90), (8, 270), (5, 0)])
async def test_photographs_come_upright(tmp_path: Path, orientation: int, rotation_deg: int) -> None:
    picture = Image.new("RGB", (64, 48), (250, 250, 250))
    picture.paste((200, 30, 30), (0, 0, 32, 24))  # as stored: top left
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "photo.jpg", quality=95, exif=exif)
    source = open_source(str(tmp_path / "photo.jpg"))
    assert isinstance(source, PictureSource)
    async with watched(source) as latest:
        frame = await latest.next()
    corners = {1: (0, 0), 3: (-1, -1), 6: (0, -1), 8: (-1, 0), 5: (0, 0)}
    red = frame.to_rgb()[corners[orientation]]
    assert frame.rotation_deg == rotation_deg and red[0] > 150 and red[1] < 90
    assert (frame.jpeg is None) == (orientation == 5)  # mirrored ones only are decoded


def test_a_webcam_packet_without_tables_becomes_a_jpeg_every_decoder_reads() -> None:
    frame = Frame.from_rgb(np.full((48, 64, 3), 90, np.uint8), captured_s=0.0)
    full = encode_jpeg(frame).data
    bare = full
    while (at := bare.find(b"\xff\xc4")) >= 0:
        bare = bare[:at] + bare[at + 2 + int.from_bytes(bare[at + 2 : at + 4], "big") :]
    width, height, mended = whole_jpeg(bare + b"\0" * 100)
    assert (width, height) == (64, 48) and mended.count(b"\xff\xc4") == 4
    assert mended.endswith(b"\xff\xd9") and whole_jpeg(full)[2] is full
    assert np.array_equal(
        Frame(width=64, height=48, captured_s=0, jpeg=mended).to_rgb(),
        Frame(width=64, height=48, captured_s=0, jpeg=full).to_rgb(),
    )


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("camera://0?size=big", "camera size 'big': write size=1280x720"),
        ("camera://0?size=0x0", "camera size = 0: must be from 16"),
        ("camera://0?fps=fast", "camera fps 'fast': must be a number"),
        ("camera://0?fps=0", "camera fps = 0.0: must be from 1"),
        ("camera://0?format=rgb", "camera format 'rgb': must be mjpeg or h264 or yuyv"),
        ("camera://0?colour=1", "source parameter 'colour': camera knows size, fps, format"),
        ("/dev/video0?colour=1", "source parameter 'colour'"),
        ("camera://front", "camera 'front': write camera://0"),
        ("csi://left", "csi camera 'left': write csi://0"),
        ("csi://0?size=641x480", "must be even"),
        ("rtsp://host/x#transport=sctp", "rtsp:// transport 'sctp': must be tcp or udp"),
        ("rtsp://host/x?transport=sctp", "rtsp:// transport 'sctp': must be tcp or udp"),
        ("rtsp://host/x#loop=1", "source parameter 'loop': rtsp:// knows transport"),
        ("rtsp:///x", "no host; write rtsp://host/path"),
        ("rtsp://host:port/x", "the host or port can't be read"),
        ("http://host/x#speed=2", "source parameter 'speed': http:// knows loop"),
        ("nowhere://me:secret@host/x", "unknown kind"),
        ("file://server/clip.mp4", "write file:///"),
        ("", "empty; use testcard://"),
    ],
)
def test_a_bad_uri_is_named_in_one_line(uri: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        open_source(uri)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_parameters_of_files_are_checked_and_odd_names_are_found(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a video file loop 'yes': must be 0 or 1"):
        open_source(f"{clips / 'h264.mp4'}?loop=yes")
    with pytest.raises(ConfigError, match="source parameter 'fps': a folder knows interval_s, loop"):
        open_source(f"{tmp_path}?fps=1")
    odd = tmp_path / "what? 100%.mp4"
    odd.write_bytes(b"")
    assert opened(odd).input.url == str(odd)
    assert opened(f"file://{tmp_path}/what%3F%20100%25.mp4?loop=0").input.url == str(odd)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("nowhere.mp4", "source 'nowhere.mp4': no such file"),
        ("file:///nowhere.mp4?loop=0", "source '/nowhere.mp4': no such file"),
        ("/dev/video250", "camera /dev/video250: no such file or directory; cameras here: "),
        ("camera://250", "camera /dev/video250: no such file or directory; cameras here: "),
    ],
)
def test_what_is_not_there_is_named(uri: str, said: str) -> None:
    with pytest.raises(SourceError, match=re.escape(said)):
        open_source(uri)


async def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "letter.mp4"
    path.write_text("Dear reader")
    source = opened(path)
    with pytest.raises(SourceError, match=r"letter\.mp4: not a video that can be read"):
        await anext(source.frames())
    with pytest.raises(SourceError, match="no picture in it"):
        await anext(open_source(str(tmp_path)).frames())


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://me:secret@cam/live?token=secret", "rtsp://***@cam/live"),
        ("rtsp://me:sec@ret@cam/live", "rtsp://***@cam/live"),
        ("http://cam/video?password=secret#x", "http://cam/video"),
        ("rtsp://me:sec/ret@cam", "rtsp://***@cam"),
        ("rtsp://me:sec?ret@cam/live", "rtsp://***@cam/live"),
        ("rtsp://me:sec#ret@cam/live", "rtsp://***@cam/live"),
        ("rtsp://me:1#secret@cam/live", "rtsp://***@cam/live"),
        ("rtsp:/me:secret@cam/live", "rtsp:/***@cam/live"),
        ("RTSP:me:secret@cam/live", "RTSP:***@cam/live"),
        ("me:secret@cam/live", "***@cam/live"),
        ("rtsp://cam/user=me_password=secret_channel=1.sdp", "rtsp://cam/user=***"),
        ("rtsp://cam/a/passwd=secret/live", "rtsp://cam/a/passwd=***/live"),
        ("http://cam/video@2", "http://cam/video@2"),
        ("clip.mp4", "clip.mp4"),
        ("me@home/clip.mp4", "me@home/clip.mp4"),
    ],
)
def test_secrets_are_left_out(uri: str, shown: str) -> None:
    assert without_secrets(uri) == shown


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("rtsp:/me:secret@cam/live", "write rtsp://user:password@host/path"),
        ("me:secret@cam/live", "write rtsp://user:password@host/path"),
        ("rtsp://me:1#secret@cam/live", "write %23 for # and %3F for ?"),
        ("rtsp://me:1?secret@cam/live", "write %23 for # and %3F for ?"),
        ("rtsp://me:x?secret@cam/live", "can't be read"),
        ("rtsp://me:x/secret@cam/live", "can't be read"),
        ("file://me:secret@cam/live", "write file:///"),
        ("gopher://me:secret@cam/live", "unknown kind"),
    ],
)
def test_an_address_that_can_not_be_read_is_told_without_its_password(uri: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(uri)
    assert said in str(caught.value) and "secret" not in str(caught.value)


def test_a_recording_keeps_its_pace_over_gaps_rounds_and_pauses() -> None:
    pace = Pace()
    assert pace.due_s(5.0, 100.0) == 100.0
    assert pace.due_s(5.5, 100.1) == pytest.approx(100.5)
    assert pace.due_s(None, 100.5) == pytest.approx(101.0)  # no time stamp: one step on
    assert pace.due_s(900.0, 101.0) == pytest.approx(101.5)  # a cut: one step on
    pace.restart()
    assert pace.due_s(899.5, 101.5) == pytest.approx(102.0)
    assert pace.due_s(900.0, 150.0) == 150.0  # held up: it goes on from where it was
    assert pace.due_s(900.5, 150.0) == pytest.approx(150.5)
    assert pace.shown_s(900.25, 151.0) == pytest.approx(150.25)


@pytest.mark.parametrize("back_s", [0.3, 0.5, 2.0, 9.0, 3600.0])
@pytest.mark.parametrize("b_frames", [False, True])
def test_a_camera_whose_clock_is_set_back_is_seen_again_at_once(back_s: float, b_frames: bool) -> None:
    arrivals, now_s = Arrivals(), 100.0
    order = (0, 3, 1, 2) if b_frames else (0, 1, 2, 3)
    for index in range(600):
        stamp_s = (index - index % 4 + order[index % 4]) / 25 - (back_s if index >= 300 else 0.0)
        now_s = 100.0 + index / 25
        arrivals.note(stamp_s, now_s)
        if not 300 <= index < 310:
            assert now_s - arrivals.captured_s(stamp_s, now_s) < 0.13


def test_a_camera_whose_rate_is_not_what_it_says_is_not_taken_for_late() -> None:
    arrivals, now_s = Arrivals(), 100.0
    for index in range(100_000):
        now_s += 0.04
        arrivals.note(index * 0.04 / 1.004, now_s)
    assert now_s - arrivals.captured_s(99_999 * 0.04 / 1.004, now_s) < 0.01


def test_what_a_stall_held_back_counts_as_old() -> None:
    arrivals = Arrivals()
    for index in range(100):
        arrivals.note(index / 10, 50.0 + index / 10 + 0.02 * (index % 3))
        assert arrivals.captured_s(index / 10, 60.0) == pytest.approx(50.0 + index / 10, abs=0.02)
    arrivals.note(10.0, 63.0)  # three seconds of silence, then everything at once
    assert arrivals.captured_s(10.0, 63.0) == pytest.approx(60.0, abs=0.02)
    arrivals.note(0.0, 63.1)  # the camera was set back
    assert arrivals.captured_s(0.0, 63.1) == pytest.approx(63.1)
    now_s = 63.1
    for index in range(1, 100_000):  # its clock goes slow by 100 ppm for a day: not taken for age
        now_s = 63.1 + index * 1.0001
        arrivals.note(float(index), now_s)
    assert now_s - arrivals.captured_s(99_999.0, now_s) < 0.01
