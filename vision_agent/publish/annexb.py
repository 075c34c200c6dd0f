"""H.264 access units as WebRTC wants them: Annex B, parameter sets with every key frame.

The numbers come from ITU-T H.264: table 7-1 (unit types) and annex B (start codes).
"""

from __future__ import annotations

from collections.abc import Iterator

IDR, SPS, PPS = 5, 7, 8
START = b"\0\0\0\1"


def units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an Annex B byte stream, without start codes and trailing zeros."""
    begin = data.find(b"\0\0\1")
    while begin >= 0:
        end = data.find(b"\0\0\1", begin + 3)
        unit = data[begin + 3 : end if end >= 0 else len(data)].rstrip(b"\0")
        if unit:
            yield unit
        begin = end


def is_reference(data: bytes) -> bool:
    """Return whether other pictures may refer to this one; its first slice decides."""
    begin = data.find(b"\0\0\1")
    while 0 <= begin < len(data) - 3:
        head = data[begin + 3]
        if 1 <= head & 0x1F <= IDR:
            return bool(head & 0x60)  # nal_ref_idc
        begin = data.find(b"\0\0\1", begin + 3)
    return True


def is_avcc(extradata: bytes | None) -> bool:
    """Return whether a stream with this extradata has lengths before its units instead of start codes."""
    return (
        extradata is not None and extradata[:1] == b"\1"
    )  # AVCDecoderConfigurationRecord, configurationVersion


class ParameterSets:
    """Remembers a stream's parameter sets, and adds them to key frames that lack them.

    Args:
        extradata: Parameter sets from outside the stream, as Annex B, or None.
    """

    def __init__(self, extradata: bytes | None = None) -> None:
        self._sets: dict[int, list[bytes]] = {SPS: [], PPS: []}
        self._learn(list(units(extradata or b"")))

    @property
    def sps(self) -> list[bytes]:
        """The sequence parameter sets, which hold the size."""
        return self._sets[SPS]

    def completed(self, key_picture: bytes) -> bytes:
        """Return the key frame with SPS and PPS before it, if it does not contain them."""
        kinds = self._learn(list(units(key_picture)))
        if {SPS, PPS} <= kinds:
            return key_picture
        missing = [unit for kind, known in self._sets.items() if kind not in kinds for unit in known]
        return b"".join(START + unit for unit in missing) + key_picture

    def _learn(self, found: list[bytes]) -> set[int]:
        for kind in self._sets:
            self._sets[kind] = [unit for unit in found if unit[0] & 0x1F == kind] or self._sets[kind]
        return {unit[0] & 0x1F for unit in found}
