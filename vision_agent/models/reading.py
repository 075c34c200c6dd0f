"""What the built-in model reads from pixels without a network: codes, text, colour, brightness, change."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from ..imaging.frame import U8

_RANGES = (  # OpenCV hue (0-179) below which a saturated pixel has the name
    (8, "red"),
    (22, "orange"),
    (34, "yellow"),
    (85, "green"),
    (100, "cyan"),
    (130, "blue"),
    (150, "purple"),
    (170, "pink"),
    (180, "red"),
)
_ocr_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A code or text that was found, and where."""

    text: str
    """What it says."""
    box_xyxy: tuple[int, int, int, int]
    """Left, top, right, bottom in pixels of the picture."""


def read_codes(rgb: U8) -> list[Mark]:
    """Read QR codes and bar codes of an RGB picture ``(h, w, 3)``, uint8."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    found: list[Mark] = []
    # of 60 testcards with the blur of video the Aruco detector read 60, QRCodeDetector 58
    for detector in (cv2.QRCodeDetectorAruco(), cv2.QRCodeDetector(), cv2.barcode.BarcodeDetector()):
        ok, texts, corners, *_ = detector.detectAndDecodeMulti(gray)
        if ok and corners is not None:
            for text, points in zip(texts, corners, strict=False):
                if text and text not in {mark.text for mark in found}:
                    found.append(Mark(text=text, box_xyxy=_bounds(points)))
    return found


def read_text(rgb: U8) -> list[Mark]:
    """Read lines of text, top to bottom, of an RGB picture ``(h, w, 3)``, uint8."""
    with _ocr_lock:
        result = _ocr()(np.ascontiguousarray(rgb[:, :, ::-1]))
    if result.boxes is None or result.txts is None:
        return []
    lines = [
        Mark(text=str(text), box_xyxy=_bounds(box))
        for box, text, score in zip(result.boxes, result.txts, result.scores, strict=True)
        if score >= 0.6
    ]
    return sorted(lines, key=lambda line: (line.box_xyxy[1], line.box_xyxy[0]))


def main_colours(rgb: U8, *, most: int = 3) -> list[str]:
    """Name the colours that cover most of an RGB picture, the largest first."""
    small = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA)
    hue, saturation, value = (
        channel.ravel() for channel in cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2HSV))
    )
    names = np.array([name for _, name in _RANGES])
    named = names[np.searchsorted([top for top, _ in _RANGES], hue, side="right")].astype("<U6")
    named = np.where(saturation < 50, np.where(value > 190, "white", "gray"), named)
    named = np.where(value < 50, "black", named)
    values, counts = np.unique(named, return_counts=True)
    order = np.argsort(-counts)[:most]
    return [str(values[i]) for i in order if counts[i] >= 0.03 * named.size]


def brightness(rgb: U8) -> float:
    """Return mean luma of an RGB picture, 0 (black) to 1 (white)."""
    return float(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).mean()) / 255.0


def changed_share(before: U8, after: U8) -> float:
    """Return the share of the picture that differs clearly between two RGB pictures, 0 to 1."""
    a, b = (
        cv2.resize(rgb, (160, 120), interpolation=cv2.INTER_AREA).astype(np.int16) for rgb in (before, after)
    )
    return float((np.abs(a - b).max(axis=2) > 30).mean())


@lru_cache(maxsize=1)
def _ocr() -> Any:
    from rapidocr import RapidOCR  # takes 1.4 s to load: only if somebody asks for text

    return RapidOCR(params={"Global.log_level": "error"})


def _bounds(points: Any) -> tuple[int, int, int, int]:
    xy = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    (left, top), (right, bottom) = np.floor(xy.min(axis=0)), np.ceil(xy.max(axis=0))
    return int(left), int(top), int(right), int(bottom)
