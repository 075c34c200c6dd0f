"""Clips of the testcard: the code changes with each second of the time stamps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from vision_agent import Frame
from vision_agent.models.reading import read_codes
from vision_agent.sources.testcard import render

BASE_S = 1_700_000_000


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    size_wh: tuple[int, int] = (320, 180),
    seconds: float = 4,
    fps: int = 15,
    options: dict[str, str] | None = None,
    pixel_format: str | None = None,
    rotate_deg: int = 0,
) -> Path:
    """Write a clip; second n of it shows the code of ``BASE_S + n``."""
    is_jpeg = codec == "mjpeg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size_wh
        stream.pix_fmt = pixel_format or ("yuvj420p" if is_jpeg else "yuv420p")
        stream.options = dict({"qscale": "3"} if is_jpeg else {"preset": "ultrafast", "g": "30"})
        stream.options.update(options or {})
        if rotate_deg:
            stream.set_display_rotation(rotate_deg)
        for index in range(round(seconds * fps)):
            card = render(BASE_S + index / fps, size_wh)
            picture = av.VideoFrame.from_ndarray(card, format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def second_in(frame: Frame) -> int | None:
    """Return the second of the clip a frame shows, by its code; None if it can't be read."""
    found = [code.text for code in read_codes(frame.to_rgb())]
    assert len(found) <= 1
    return int(found[0].removeprefix("VA-")) - BASE_S if found else None
