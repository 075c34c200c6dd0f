"""The counts of a publisher: the reader's thread and the loop write them, the health line reads them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PublishCounts:
    """Counts since the start."""

    sent: int = 0
    """Pictures given to the track."""
    sent_keys: int = 0
    """Key frames among them; unknown for pictures that the SDK encodes."""
    sent_bytes: int = 0
    """Bytes of encoded pictures given to the track."""
    wire_pictures: int = 0
    """Pictures that went over the network."""
    wire_bytes: int = 0
    """Bytes that went over the network."""
    dropped: int = 0
    """Pictures not sent: replaced by a newer one, refused by the track, or before the first key frame."""
    thinned: int = 0
    """Pictures skipped because the network was too slow."""
    unwatched: int = 0
    """Pictures not sent because nobody watched."""
    keys_asked: int = 0
    """Requests for a key frame."""
    bridges: int = 0
    """Times the rest of a group of pictures was encoded for a viewer who joined in its middle."""
    bridged: int = 0
    """Pictures encoded for that."""
    reconnects: int = 0
    """Times the connection was lost and came back, by the SDK or by joining again."""
    source_failures: int = 0
    """Times the source failed and was tried again."""

    def note_sent(self, length: int, *, is_key: bool) -> None:
        """Count a picture that was given to the track."""
        self.sent += 1
        self.sent_keys += is_key
        self.sent_bytes += length
