"""What a publisher counts, written by the reader's thread or the loop, read by the health line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PublishCounts:
    """Counts since the start."""

    sent: int = 0
    """Pictures handed to the track."""
    sent_keys: int = 0
    """Key pictures among them; of pictures the SDK encodes that is not known."""
    sent_bytes: int = 0
    """Bytes of encoded pictures handed to the track."""
    wire_pictures: int = 0
    """Pictures that went over the network."""
    wire_bytes: int = 0
    """Bytes that went over the network."""
    dropped: int = 0
    """Pictures not sent: replaced by a newer one, not taken, or no key picture before them."""
    thinned: int = 0
    """Pictures left out because the network was too slow."""
    unwatched: int = 0
    """Pictures not sent because nobody watched."""
    keys_asked: int = 0
    """Requests for a key picture."""
    bridges: int = 0
    """Times a group of pictures was encoded to its end for somebody who came in its middle."""
    bridged: int = 0
    """Pictures encoded for that."""
    reconnects: int = 0
    """Times the connection was lost and is back, by the SDK or by joining again."""
    source_failures: int = 0
    """Times the source broke off and was tried again."""

    def note_sent(self, length: int, *, is_key: bool) -> None:
        """Note a picture that was handed to the track."""
        self.sent += 1
        self.sent_keys += is_key
        self.sent_bytes += length
