"""The ledger: what it keeps, and what it drops."""

from __future__ import annotations

import pytest

from vision_agent import ConfigError, Sighting
from vision_agent.imaging.jpeg import EncodedImage
from vision_agent.record.ledger import Ledger, RequestRecord

from .seeing import nothing, sighting


def picture(size: int = 40_000) -> EncodedImage:
    return EncodedImage(data=bytes(size), mime_type="image/jpeg", width=4, height=3)


def test_the_oldest_pictures_go_first_and_what_was_given_at_the_start_last() -> None:
    ledger = Ledger(max_bytes=100_000)
    given = ledger.note(Sighting(view="plan", purpose="initial", image=picture()))
    first, second = (ledger.note(sighting(image=picture())) for _ in range(2))
    assert ledger.statistics().held_bytes == 80_000
    released = ledger.get(first.id)
    assert released is not None and released.image is None and released.captured_s == first.captured_s
    for kept in (given, second):
        assert ledger.get(kept.id) is kept
    assert ledger.statistics().released_pictures == 1


def test_noting_twice_counts_once_and_a_reason_costs_nothing() -> None:
    ledger = Ledger()
    seen = sighting(image=picture())
    assert ledger.note(seen) is ledger.note(seen)
    ledger.note(nothing())
    statistics = ledger.statistics()
    assert (statistics.sightings, statistics.held_pictures, statistics.held_bytes) == (2, 1, 40_000)
    ledger.release([seen.id])
    assert ledger.statistics().held_bytes == 0


def test_a_thousand_sightings_stay_within_both_limits() -> None:
    ledger = Ledger(max_bytes=200_000, max_sightings=64)
    for number in range(1000):
        ledger.note(sighting(image=picture(1_000 + number)))
        assert ledger.statistics().held_bytes <= 200_000 and len(ledger.sightings) <= 64
    held = [each for each in ledger.sightings if each.image is not None]
    assert sum(len(each.image.data) for each in held if each.image) == ledger.statistics().held_bytes


def test_a_call_belongs_to_the_request_that_made_it() -> None:
    ledger = Ledger()
    made = [
        ledger.note_request(
            RequestRecord(
                turn=turn, detail="auto", answers="", asked_by="", current=(), earlier=(), asked_s=0.0
            )
        )
        for turn in (1, 2)
    ]
    ledger.note_call("c1", made[0].id)
    ledger.note_call("c2", made[1].id)
    assert ledger.request_of_call("c1") is made[0] and ledger.request_of_call("c2") is made[1]
    assert ledger.request_of_call("c3") is None


def test_a_limit_out_of_range_is_named() -> None:
    with pytest.raises(ConfigError, match="max_bytes = 10: must be from 100000"):
        Ledger(max_bytes=10)
