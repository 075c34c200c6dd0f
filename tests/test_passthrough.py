"""What the pass-through sends: the tests decode it and read the codes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import pytest
from av.video.codeccontext import VideoCodecContext

from vision_agent import Frame
from vision_agent.demand import Demand
from vision_agent.publish.annexb import PPS, SPS, ParameterSets, units
from vision_agent.publish.counts import PublishCounts
from vision_agent.publish.link import AccessUnit, Feedback, NotPassable
from vision_agent.publish.passthrough import Passthrough
from vision_agent.publish.thinning import Thinning
from vision_agent.sources.clock import Arrivals
from vision_agent.sources.decoding import to_i420
from vision_agent.sources.reader import ReaderStatistics

from .clips import second_in, write_clip
from .waiting import until
from .watching import opened

LIVE = {"bf": "0", "tune": "zerolatency"}


class Recorder:
    """Keeps what is sent, and makes the requests that the test sets."""

    def __init__(self) -> None:
        self.units: list[AccessUnit] = []
        self.asked = False
        self.target_bps: int | None = None
        self.has_company = True

    def send(self, unit: AccessUnit) -> bool:
        self.units.append(unit)
        return True

    def feedback(self) -> Feedback:
        asked, self.asked = self.asked, False
        return Feedback(key_asked=asked, target_bps=self.target_bps)

    def since_key(self, number: int = -1) -> list[AccessUnit]:
        """From one of the key frames to the end."""
        keys = [index for index, unit in enumerate(self.units) if unit.is_key]
        return self.units[keys[number] :]


def seconds_shown(sent: list[AccessUnit]) -> list[int | None]:
    """Decode what was sent with a fresh decoder; return the second that each picture shows."""
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    shown = []
    for packet in [*(av.Packet(unit.data) for unit in sent), None]:
        for picture in decoder.decode(packet):
            assert not picture.is_corrupt
            planes, _, _ = to_i420(picture)
            width, height = picture.width, picture.height
            shown.append(second_in(Frame(width=width, height=height, captured_s=0.0, planes_i420=planes)))
    return shown


async def played(
    path: Path | str, recorder: Recorder, counts: PublishCounts, *, ask_at: tuple[int, ...] = ()
) -> ReaderStatistics:
    """Read a clip once through the pass-through; request a key frame after this many units."""
    source = opened(f"{path}?loop=0")
    source.decoder = partial(Passthrough, link=lambda: recorder, opened=lambda size_wh: None, counts=counts)

    async def read() -> None:
        async for _ in source.frames():
            raise AssertionError("a pass-through yields no frames")

    reading = asyncio.create_task(read())
    try:
        for number in ask_at:
            await until(lambda number=number: len(recorder.units) >= number)  # type: ignore[misc]
            recorder.asked = True
        await reading
        assert source.statistics is not None
        return source.statistics
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await source.aclose()


def raw_annexb(path: Path, *, in_band: bool) -> Iterator[bytes]:
    """The clip's access units as Annex B, with or without parameter sets."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        to_annexb = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in container.demux(stream):
            for each in to_annexb.filter(packet if packet.size else None):
                found = [unit for unit in units(bytes(each)) if in_band or unit[0] & 31 not in (SPS, PPS)]
                yield b"".join(b"\0\0\0\1" + unit for unit in found)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])  # lengths, start codes
async def test_what_is_sent_was_not_decoded_and_can_be_from_every_key_picture(
    tmp_path: Path, name: str
) -> None:
    clip = write_clip(tmp_path / name, seconds=2, options={**LIVE, "g": "15"})
    recorder, counts = Recorder(), PublishCounts()
    statistics = await played(clip, recorder, counts)
    assert statistics.demuxed == 30 and statistics.decoded == 1  # the first one, for its size
    assert len(recorder.units) == 30 == counts.sent and counts.sent_keys == 2 and not counts.bridges
    for number, first in ((0, 0), (1, 1)):
        shown = seconds_shown(recorder.since_key(number))
        assert shown == [second for second in (0, 1) if second >= first for _ in range(15)]
    for unit in recorder.units:
        assert unit.data.startswith((b"\0\0\1", b"\0\0\0\1")) and unit.size_wh == (320, 180)
        kinds = [each[0] & 31 for each in units(unit.data)]
        assert not unit.is_key or {SPS, PPS} <= set(kinds)
    times_s = [unit.captured_s for unit in recorder.units]
    assert times_s == sorted(times_s) and 1.7 < times_s[-1] - times_s[0] < 2.2


def test_key_pictures_get_the_parameter_sets_they_lack(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, options={**LIVE, "g": "15"})
    whole = list(raw_annexb(clip, in_band=True))
    bare = list(raw_annexb(clip, in_band=False))
    beside = b"".join(b"\0\0\1" + unit for unit in units(whole[0]) if unit[0] & 31 in (SPS, PPS))
    for sets in (ParameterSets(beside), ParameterSets()):
        sets.completed(whole[0])  # without extradata, they come from the first key frame
        second_key = AccessUnit(data=sets.completed(bare[15]), size_wh=(1, 1), is_key=True, captured_s=0)
        rest = [AccessUnit(data=each, size_wh=(1, 1), is_key=False, captured_s=0) for each in bare[16:]]
        assert seconds_shown([second_key, *rest]) == [1] * 15
        assert sets.completed(whole[15]) is whole[15]


async def test_who_comes_between_two_key_pictures_sees_now_and_then_the_camera_own_pictures(
    tmp_path: Path,
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=4, options={**LIVE, "g": "45"})  # a key after 3 s
    recorder, counts = Recorder(), PublishCounts()
    await played(clip, recorder, counts, ask_at=(8, 23))
    keys = [index for index, unit in enumerate(recorder.units) if unit.is_key]
    assert keys[0] == 0 and len(keys) == 4 and keys[-1] == 45
    assert 8 <= keys[1] <= 14 and 23 <= keys[2] <= 29  # encoded by us, as soon as it was requested
    for key in keys:
        assert seconds_shown(recorder.units[key:]) == [index // 15 for index in range(key, 60)]
    assert counts.bridges == 1 and counts.bridged == 45 - keys[1]
    whole = [list(units(each)) for each in raw_annexb(clip, in_band=True)]
    own = [list(units(unit.data)) for unit in recorder.units]
    assert own[: keys[1]] == whole[: keys[1]] and own[45:] == whole[45:]  # the camera's own


@pytest.mark.parametrize(
    ("options", "codec", "pixel_format", "said"),
    [
        ({"preset": "veryfast", "bf": "3"}, "libx264", None, "B-frames"),
        (LIVE, "libx264", "yuv422p", "its pixels are yuv422p"),
        ({"x265-params": "log-level=none"}, "libx265", None, "codec is hevc"),
        ({}, "mjpeg", None, "codec is mjpeg"),
    ],
)
async def test_what_can_not_pass_is_told(
    tmp_path: Path, options: dict[str, str], codec: str, pixel_format: str | None, said: str
) -> None:
    path = tmp_path / "clip.mkv"
    clip = write_clip(path, codec=codec, seconds=1, options=options, pixel_format=pixel_format)
    with pytest.raises(NotPassable, match=said):
        await played(clip, Recorder(), PublishCounts())


@pytest.mark.parametrize("back_s", [0.5, 2.0, 9.0])
def test_a_camera_whose_clock_is_set_back_passes_on(tmp_path: Path, back_s: float) -> None:
    clip = write_clip(tmp_path / "clip.ts", seconds=3, options={**LIVE, "g": "60"})
    recorder, arrivals, now_s = Recorder(), Arrivals(), 1000.0
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        passthrough = Passthrough(
            stream,
            source="camera",
            captured_s=lambda stamp_s: arrivals.captured_s(stamp_s, now_s),
            link=lambda: recorder,
            opened=lambda size_wh: None,
            counts=PublishCounts(),
        )
        for index, packet in enumerate(each for each in container.demux(stream) if each.size):
            assert packet.pts is not None and packet.dts is not None and stream.time_base is not None
            if index >= 22:
                back = round(back_s / stream.time_base)
                packet.pts, packet.dts = packet.pts - back, packet.dts - back
            now_s = 1000.0 + index / 15
            arrivals.note(passthrough.seconds(packet.pts), now_s)
            passthrough.feed(packet, Demand.ACTIVE, now_s)
            if not 22 <= index < 30:
                assert now_s - recorder.units[-1].captured_s < 0.1
    assert len(recorder.units) == 45 and seconds_shown(recorder.units) == [0] * 15 + [1] * 15 + [2] * 15


async def test_a_turned_recording_does_not_pass(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=1, options=LIVE, rotate_deg=90)
    with pytest.raises(NotPassable, match="rotation"):
        await played(clip, Recorder(), PublishCounts())


async def test_the_size_may_change_with_a_key_picture(tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{width}.ts", size_wh=(width, width // 2), seconds=1, options=LIVE)
        for width in (320, 400)
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    recorder = Recorder()
    await played(joined, recorder, PublishCounts())
    assert {unit.size_wh for unit in recorder.units} == {(320, 160), (400, 200)}


def test_a_slow_network_gets_fewer_pictures_and_all_again_when_it_recovers() -> None:
    thinning = Thinning()

    def run(from_s: int, to_s: int, target_bps: int) -> list[tuple[float, bool, bool]]:
        """30 frames per second of 4 kB, a key frame every 2 s; other frames refer to every second one."""
        thinning.target_bps = target_bps
        out = []
        for index in range(from_s * 30, to_s * 30):
            now_s, is_key, is_reference = index / 30, index % 60 == 0, index % 2 == 0
            thinning.note(4000, now_s)
            if thinning.leaves_out(is_key=is_key, is_reference=is_reference, now_s=now_s):
                out.append((now_s, is_key, is_reference))
        return out

    assert run(0, 4, 2_000_000) == []
    assert thinning.rate_bps == pytest.approx(960_000, rel=0.02)
    assert run(4, 6, 300_000) == []  # not at once: WebRTC finds its rate from below
    first = [each for each in run(6, 10, 300_000) if each[0] < 9.9]
    assert first and not any(is_reference for _, _, is_reference in first)
    later = run(10, 20, 300_000)
    assert any(is_reference for _, _, is_reference in later) and not any(key for _, key, _ in later)
    at_last = run(20, 26, 2_000_000)
    assert all(now_s < 22.1 for now_s, _, _ in at_last) and thinning.level == 0
