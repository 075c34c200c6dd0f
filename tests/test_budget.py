"""Which pictures a request holds."""

from __future__ import annotations

from vision_agent.record.sighting import Purpose
from vision_agent.turns.budget import Candidate, kept, most_waiting, room_for_views


def old(name: str, purpose: Purpose = "turn") -> Candidate:
    return Candidate(id=name, purpose=purpose, is_current=False)


def new(name: str, purpose: Purpose = "turn") -> Candidate:
    return Candidate(id=name, purpose=purpose, is_current=True)


def test_the_newest_of_earlier_turns_fill_what_the_turn_leaves() -> None:
    pictures = [old("1"), old("2"), old("3"), new("4")]
    assert kept(pictures, max_images=3) == {"2", "3", "4"}
    assert kept(pictures, max_images=2) == {"3", "4"}


def test_a_turns_own_pictures_all_go_out() -> None:
    photos = [new(f"photo {n}", "upload") for n in range(3)]
    assert kept([old("1"), *photos, new("desk")], max_images=3) == {*(p.id for p in photos), "desk"}
    views = [new(f"camera {n}") for n in range(3)]
    assert kept([new("photo", "upload"), *views], max_images=3) == {"photo", *(v.id for v in views)}


def test_what_was_given_at_the_start_stays_and_does_not_count() -> None:
    pictures = [old("plan", "initial"), old("1"), old("2"), new("3")]
    assert kept(pictures, max_images=2) == {"plan", "2", "3"}


def test_at_one_there_is_never_a_second_picture() -> None:
    assert kept([old("1"), new("2")], max_images=1) == {"2"}
    assert kept([old("plan", "initial"), new("2")], max_images=1) == {"2"}
    assert kept([old("plan", "initial"), old("1")], max_images=1) == {"plan"}
    assert kept([new("photo", "upload"), new("desk")], max_images=1) == {"photo"}
    assert kept([new("desk"), new("zoom", "tool")], max_images=1) == {"zoom"}
    assert kept([new("a", "tool"), new("b", "tool")], max_images=1) == {"b"}


def test_one_picture_leaves_no_room_for_a_view_beside_what_was_sent() -> None:
    assert room_for_views(1, max_images=1) == 0
    assert room_for_views(0, max_images=1) == 1
    assert room_for_views(5, max_images=3) is None
    assert most_waiting(1) == 1 and most_waiting(3) > 3
