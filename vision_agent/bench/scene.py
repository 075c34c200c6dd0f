"""The scene of the benchmark's cameras: textured, panning, with sensor noise, from one seed."""

from __future__ import annotations

import cv2
import numpy as np

from ..imaging.frame import U8, Frame

COUNT = 60
"""Pictures in a loop; the first follows the last without a jump."""
NOISE = 2.5
"""Standard deviation of the luma noise, in levels: a webcam's in room light."""


def pictures(size_wh: tuple[int, int], *, seed: int = 4, count: int = COUNT) -> list[U8]:
    """Return pictures as packed I420, to be shown in a loop."""
    width, height = size_wh
    random = np.random.default_rng(seed)
    reach_w, reach_h = width // 8 & ~1, height // 12 & ~1
    wall = _texture((width + reach_w, height + reach_h), random)
    noise = [random.normal(0, NOISE, (height, width)).astype(np.float32) for _ in range(4)]
    scene = []
    for index in range(count):
        turn = 2 * np.pi * index / count
        x, y = (int((1 + f(turn)) / 2 * reach) & ~1 for f, reach in ((np.cos, reach_w), (np.sin, reach_h)))
        view = np.ascontiguousarray(wall[y : y + height, x : x + width])
        planes = Frame.from_rgb(view, captured_s=0.0).planes_i420
        assert planes is not None
        planes = planes.copy()
        luma = planes[: width * height].reshape(height, width)
        luma[:] = np.clip(luma + noise[index % len(noise)], 16, 235)
        scene.append(planes)
    return scene


def _texture(size_wh: tuple[int, int], random: np.random.Generator) -> U8:
    """Return an RGB texture whose contrast falls with spatial frequency, as in photographs."""
    width, height = size_wh
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 9):
        cells = random.normal(0, 1, (max(2, (2**octave) * height // width), 2**octave, 3)).astype(np.float32)
        cells = 0.7 * cells.mean(axis=2, keepdims=True) + 0.3 * cells  # more contrast in luma than in colour
        enlarged = np.asarray(cv2.resize(cells, size_wh, interpolation=cv2.INTER_CUBIC), np.float32)
        total += enlarged / np.float32(2 ** (octave / 2))
    spread = (total - total.mean()) / total.std()
    return np.asarray(np.clip(128 + 45 * spread, 0, 255), dtype=np.uint8)
