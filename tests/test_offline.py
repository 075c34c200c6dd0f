"""The built-in model: its answers are true for the pixels in the request, or it says that it can't tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from livekit.agents import llm

from vision_agent import Sighting
from vision_agent.imaging.frame import U8
from vision_agent.imaging.jpeg import encode_rgb
from vision_agent.models.offline import answer
from vision_agent.models.reading import brightness, main_colours, read_codes, read_text
from vision_agent.turns.messages import carrier

from . import seeing
from .seeing import nothing, sighting

LEFT_ODD = "0001101001100100100110111101010001101100010101111011101101101110001011"
PARITY = "LLLLLLLLGLGGLLGGLGLLGGGLLGLLGGLGGLLGLGGGLLLGLGLGLGLGGLLGGLGL"
"""EAN-13: the left half's digits, 7 bars each, and by the first digit which of the six are turned round."""
Views = Mapping[str, U8 | None]
"""What each view shows."""
CAMERA, SCREEN = "camera of alice", "screen of alice"


def paper(colour: tuple[int, int, int] = (238, 238, 238)) -> U8:
    return np.full((480, 640, 3), colour, dtype=np.uint8)


def paste(picture: U8, pattern: U8, *, scale: int, at_xy: tuple[int, int]) -> U8:
    size_wh = (pattern.shape[1] * scale, pattern.shape[0] * scale)
    large = cv2.resize(pattern, size_wh, interpolation=cv2.INTER_NEAREST)
    x, y = at_xy
    picture[y : y + size_wh[1], x : x + size_wh[0]] = large[:, :, None]
    return picture


def with_code(text: str, at_xy: tuple[int, int] = (60, 60)) -> U8:
    code = np.asarray(cv2.QRCodeEncoder.create().encode(text), dtype=np.uint8)
    return paste(paper(), code, scale=6, at_xy=at_xy)


def with_bar_code(digits: str) -> U8:
    def bars_of(digit: str) -> str:
        return LEFT_ODD[7 * int(digit) : 7 * int(digit) + 7]

    def turned_over(bars: str) -> str:
        return bars.translate(str.maketrans("01", "10"))

    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    digits += str(-total % 10)
    parity = PARITY[6 * int(digits[0]) :]
    left = "".join(
        bars_of(digit) if parity[place] == "L" else turned_over(bars_of(digit))[::-1]
        for place, digit in enumerate(digits[1:7])
    )
    right = "".join(turned_over(bars_of(digit)) for digit in digits[7:])
    bars = np.array([[0 if bar == "1" else 255 for bar in f"101{left}01010{right}101"]], dtype=np.uint8)
    return paste(paper(), np.repeat(bars, 60, axis=0), scale=2, at_xy=(200, 150))


def with_text(*lines: str, at_x: int = 60) -> U8:
    picture = paper()
    for row, line in enumerate(lines):
        origin = (at_x, 160 + 140 * row)
        cv2.putText(picture, line, origin, cv2.FONT_HERSHEY_SIMPLEX, 2.0, (20, 20, 20), 4, cv2.LINE_AA)
    return picture


def seen(views: Views) -> list[Sighting]:
    return [
        nothing(name) if picture is None else sighting(name, image=encode_rgb(picture, max_side_px=768))
        for name, picture in views.items()
    ]


class Talk(seeing.Talk):
    """A conversation as the agent keeps it: bound, reduced and rendered, answered by the built-in model."""

    def __init__(self, *, can_mark: bool = False, max_images: int = 6) -> None:
        super().__init__(max_images=max_images)
        self.can_mark = can_mark

    def hear(self, question: str, views: Views) -> str | llm.FunctionToolCall:
        self.show(*seen(views))
        return self._replied(super().ask(question))

    def reply(self) -> str | llm.FunctionToolCall:
        return self._replied(self.request())

    def _replied(self, request: llm.ChatContext) -> str | llm.FunctionToolCall:
        reply = answer(request, can_mark=self.can_mark)
        if isinstance(reply, str):
            self.answer(reply)
        return reply

    def post(self, picture: U8, caption: str = "") -> None:
        self.send(encode_rgb(picture, max_side_px=768), caption)


def ask(question: str, views: Views, *, can_mark: bool = False) -> str | llm.FunctionToolCall:
    return Talk(can_mark=can_mark).hear(question, views)


def marked(reply: str | llm.FunctionToolCall) -> tuple[str | None, list[dict[str, Any]]]:
    """The view of a call of ``annotate``, and its boxes."""
    assert isinstance(reply, llm.FunctionToolCall) and reply.name == "annotate", reply
    arguments = json.loads(reply.arguments)
    return arguments.get("view"), arguments["boxes"]


def labels(boxes: Sequence[dict[str, Any]]) -> list[str]:
    return [box["label"] for box in boxes]


def only(picture: U8, box: dict[str, Any]) -> U8:
    """The picture with everything removed except what is in the box."""
    height, width = picture.shape[:2]
    left, right = (round(box[side] * width / 1000) for side in ("left", "right"))
    top, bottom = (round(box[side] * height / 1000) for side in ("top", "bottom"))
    blank = paper()
    blank[top:bottom, left:right] = picture[top:bottom, left:right]
    return blank


# what it reads


def test_a_qr_code_is_read() -> None:
    assert ask("What does the QR code say?", {"desk": with_code("RIVER-17")}) == "The code says RIVER-17."
    assert ask("What does the QR code say?", {"desk": paper()}) == "I see no code I can read."


@pytest.mark.parametrize("digits", ["400638133393", "978014103357", "123456789012"])
def test_a_bar_code_is_read_to_its_last_digit(digits: str) -> None:
    (mark,) = read_codes(with_bar_code(digits))
    assert mark.text[:-1] == digits and mark.text.isdigit() and len(mark.text) == 13
    assert ask("Scan the bar code", {"desk": with_bar_code(digits)}) == f"The code says {mark.text}."


def test_text_is_read_from_top_to_bottom() -> None:
    reply = ask("Read the text.", {"desk": with_text("RIVER GATE", "EXIT 12")})
    assert reply == "The text says: RIVER GATE; EXIT 12."


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((200, 30, 30), "red"),
        ((240, 140, 20), "orange"),
        ((30, 160, 60), "green"),
        ((30, 60, 200), "blue"),
        ((245, 245, 245), "white"),
        ((20, 20, 20), "black"),
    ],
)
def test_the_colour_that_covers_most_comes_first(rgb: tuple[int, int, int], name: str) -> None:
    picture = paper(rgb)
    picture[:, :160] = (128, 128, 128)
    assert main_colours(picture) == [name, "gray"]
    assert ask("What colours do you see?", {"desk": picture}) == f"The main colours are {name}, gray."


@pytest.mark.parametrize(("level", "word"), [(20, "dark"), (110, "of medium brightness"), (230, "bright")])
def test_brightness_is_told_in_words_and_percent(level: int, word: str) -> None:
    picture = paper((level, level, level))
    assert abs(brightness(picture) - level / 255) < 0.01
    assert ask("How bright is it?", {"desk": picture}) == f"The picture is {word} ({level / 255:.0%})."


# what changed


def test_what_changed_is_told_of_the_picture_before() -> None:
    talk, after = Talk(), paper()
    assert "only one picture" in str(talk.hear("What changed?", {"desk": paper()}))
    assert talk.hear("What changed?", {"desk": paper()}) == "Nothing changed that I can see."
    after[:240, :320] = (200, 30, 30)
    assert talk.hear("What changed?", {"desk": after}) == (
        "Yes, about 25% of the view changed since the picture before."
    )


def test_two_views_of_a_first_question_are_not_compared_with_each_other() -> None:
    reply = str(ask("What changed?", {CAMERA: paper(), SCREEN: paper((20, 20, 20))}))
    assert "%" not in reply and "Nothing changed" not in reply
    only = "I have only one picture of this view so far, so I can't tell what changed. Ask again in a moment."
    assert reply == f"Camera of alice: {only} Screen of alice: {only}"


def test_each_view_is_compared_with_its_own_picture_before() -> None:
    talk, later = Talk(), paper((20, 20, 20))
    later[:, :320] = (200, 30, 30)
    talk.hear("What do you see?", {CAMERA: paper(), SCREEN: paper((20, 20, 20))})
    assert talk.hear("What changed?", {SCREEN: later, CAMERA: paper()}) == (
        "Screen of alice: Yes, about 50% of the view changed since the picture before. "
        "Camera of alice: Nothing changed that I can see."
    )


def test_a_view_that_has_just_come_has_only_one_picture() -> None:
    talk = Talk()
    talk.hear("What do you see?", {"desk": paper()})
    talk.hear("What do you see?", {"desk": None})
    reply = str(talk.hear("What changed?", {"desk": paper(), "screen": paper((20, 20, 20))}))
    assert reply.startswith("Desk: Nothing changed that I can see. Screen: I have only one picture of this")


def test_a_picture_that_was_sent_is_no_earlier_picture_of_a_view() -> None:
    talk = Talk()
    talk.post(paper((20, 20, 20)), "desk")
    assert "only one picture" in str(talk.hear("What changed?", {"desk": paper()}))
    talk.post(paper((20, 20, 20)), "desk")
    assert talk.hear("What changed?", {"desk": paper()}) == "Nothing changed that I can see."
    talk.post(paper((20, 20, 20)))
    assert talk.hear("What changed?", {"desk": None}) == (
        'I can\'t tell what changed: no picture from "desk": it is muted.'
    )


def test_a_forgotten_picture_is_not_passed_over_in_silence() -> None:
    talk = Talk(max_images=1)
    talk.hear("What do you see?", {"desk": paper()})
    assert talk.hear("What changed?", {"desk": paper((20, 20, 20))}) == (
        "I have no earlier picture of this view any more, so I can't tell what changed."
    )


def test_who_moved_is_not_told_but_how_much_of_the_view() -> None:
    talk, after = Talk(), paper()
    after[:, :320] = (200, 30, 30)
    talk.hear("What do you see?", {"desk": paper()})
    assert talk.hear("Did anyone move?", {"desk": after}) == (
        "I can't tell that: I recognise no people, things or places. "
        "About 50% of the view changed since the picture before."
    )


# what it marks


def test_a_mark_of_one_view_lies_on_what_was_read() -> None:
    picture = with_code("RIVER-17", at_xy=(300, 200))
    view, boxes = marked(ask("Mark the code.", {"desk": picture}, can_mark=True))
    assert view is None and labels(boxes) == ["RIVER-17"]
    assert [mark.text for mark in read_codes(only(picture, boxes[0]))] == ["RIVER-17"]


@pytest.mark.parametrize("first", [CAMERA, SCREEN])
def test_the_view_that_shows_the_code_is_marked(first: str) -> None:
    pictures = {CAMERA: paper(), SCREEN: with_code("RIVER-17")}
    order = sorted(pictures, key=lambda name: name != first)
    reply = ask("Where is the QR code?", {name: pictures[name] for name in order}, can_mark=True)
    view, boxes = marked(reply)
    assert view == SCREEN and labels(boxes) == ["RIVER-17"]


@pytest.mark.parametrize(
    ("question", "view", "label"),
    [
        ("Mark the code on my screen", SCREEN, "APPLE-2"),
        ("Mark the code on the camera of alice", CAMERA, "RIVER-1"),
        ("Point at the code the camera sees", CAMERA, "RIVER-1"),
        ("Show me code APPLE-2", SCREEN, "APPLE-2"),
        ("Where is RIVER?", CAMERA, "RIVER-1"),
    ],
)
def test_the_view_or_the_code_a_question_names_is_marked(question: str, view: str, label: str) -> None:
    pictures: dict[str, U8 | None] = {CAMERA: with_code("RIVER-1"), SCREEN: with_code("APPLE-2")}
    for order in (pictures, dict(reversed(pictures.items()))):
        named, boxes = marked(ask(question, order, can_mark=True))
        assert (named, labels(boxes)) == (view, [label])


def test_the_text_that_is_named_is_marked_in_the_view_that_has_it() -> None:
    pictures: dict[str, U8 | None] = {CAMERA: with_text("RIVER GATE"), SCREEN: with_text("LEMON", "EXIT 12")}
    view, boxes = marked(ask("Where does it say exit?", pictures, can_mark=True))
    assert view == SCREEN and labels(boxes) == ["EXIT 12"]
    found = read_text(only(with_text("LEMON", "EXIT 12"), boxes[0]))
    assert [mark.text for mark in found] == ["EXIT 12"]


@pytest.mark.parametrize(
    ("caption", "view"), [("a leaf", "a leaf"), ("", "upload"), ("Mark it.", "Mark it.")]
)
def test_a_picture_that_was_sent_is_marked_by_its_caption(caption: str, view: str) -> None:
    talk = Talk(can_mark=True)
    talk.post(with_code("LEMON-3"), caption)
    named, boxes = marked(talk.hear("Mark it.", {"desk": paper()}))
    assert named == view and labels(boxes) == ["LEMON-3"]


def test_a_picture_sent_behind_the_question_belongs_to_it() -> None:
    talk = Talk(can_mark=True)
    talk.show(*seen({"desk": paper()}))
    talk.chat_ctx.add_message(role="user", content="Mark the code.")
    talk.post(with_code("LEMON-3"), "a leaf")
    named, boxes = marked(talk.reply())
    assert named == "a leaf" and labels(boxes) == ["LEMON-3"]


def test_a_picture_given_at_the_start_is_marked_when_it_is_asked_for() -> None:
    talk = Talk(can_mark=True)
    picture = encode_rgb(with_code("PIANO-4"), max_side_px=768)
    plan = Sighting(view="plan.png", purpose="initial", image=picture)
    talk.chat_ctx.insert(carrier([plan], kind="given"))
    view, boxes = marked(talk.hear("Mark the code.", {"desk": with_code("RIVER-17")}))
    assert view == "desk" and labels(boxes) == ["RIVER-17"]
    question = "Mark the code in the picture given at the start."
    view, boxes = marked(talk.hear(question, {"desk": with_code("RIVER-17")}))
    assert view == "plan.png" and labels(boxes) == ["PIANO-4"]


def test_of_two_pictures_of_one_name_the_right_one_is_marked_by_its_number() -> None:
    talk = Talk(can_mark=True)
    talk.post(with_code("LEMON-3"))
    talk.post(paper())
    call = talk.hear("Mark the code.", {"desk": paper()})
    assert isinstance(call, llm.FunctionToolCall)
    arguments = json.loads(call.arguments)
    assert arguments["picture"] == 1 and labels(arguments["boxes"]) == ["LEMON-3"]


def test_the_mark_that_was_sent_is_told_with_its_view() -> None:
    talk = Talk(can_mark=True)
    call = talk.hear("Mark the code.", {CAMERA: paper(), SCREEN: with_code("RIVER-17")})
    assert isinstance(call, llm.FunctionToolCall)
    made = llm.FunctionCall(name="annotate", call_id=call.call_id, arguments=call.arguments)
    done = llm.FunctionCallOutput(name="annotate", call_id=call.call_id, output="sent", is_error=False)
    talk.chat_ctx.insert([made, done])
    assert talk.reply() == "I marked RIVER-17 on the picture of screen of alice and sent it to you."


def test_what_is_not_there_is_not_marked() -> None:
    views: dict[str, U8 | None] = {CAMERA: paper(), SCREEN: paper()}
    nothing = "I see no code and no text I can read, so there is nothing I can mark."
    assert ask("Mark it.", views, can_mark=True) == nothing
    assert ask("Where is my cup?", views, can_mark=True) == nothing
    assert ask("Mark the code.", views, can_mark=True) == (
        "I see no code I can read, so there is nothing I can mark."
    )
    reply = ask("Where is my cup?", {CAMERA: with_code("RIVER-17"), SCREEN: paper()}, can_mark=True)
    assert reply == "I can mark only codes and text, and none that I can read says that."
    assert str(ask("Mark the dark part.", {"desk": paper()}, can_mark=True)).startswith(
        "I can mark only codes"
    )


def test_without_the_tool_it_says_that_it_cannot_mark() -> None:
    code, views = with_code("RIVER-17"), {CAMERA: paper(), SCREEN: with_code("RIVER-17")}
    assert ask("Mark the code.", {"desk": code}) == "I can't mark pictures here. The code says RIVER-17."
    assert ask("Mark the code.", views) == (
        "I can't mark pictures here. Camera of alice: I see no code I can read. "
        "Screen of alice: The code says RIVER-17."
    )
    reply = str(ask("Show me where it is.", {"desk": code}))
    assert reply.startswith("I can't mark pictures here. ") and "RIVER-17" in reply
    reply = str(ask("Where is my cup?", {"desk": code}))
    assert reply.startswith("I can't mark pictures here. I can't tell that") and "RIVER" not in reply


# what it can't tell


@pytest.mark.parametrize(
    "question",
    [
        "How many people do you see?",
        "Who is in the picture?",
        "Do you see me?",
        "Do you see a dog?",
        "Which animals do you see?",
        "What is this?",
        "Look, what's that?",
        "What am I holding?",
        "Look at my hand.",
        "How far away is the wall you see?",
        "What kind of plant is in view?",
        "Where am I?",
        "What objects does the camera see?",
        "Is anybody in front of the camera?",
        "What does she look like?",
    ],
)
@pytest.mark.parametrize("can_mark", [False, True])
def test_what_it_cannot_tell_is_said_once_and_plainly(question: str, can_mark: bool) -> None:
    for views in ({"desk": paper()}, {CAMERA: paper(), SCREEN: with_code("RIVER-17")}):
        reply = str(ask(question, views, can_mark=can_mark))
        assert reply.startswith("I can't tell that: I recognise no people, things or places. I can read")
        assert "mainly" not in reply and reply.count("I can't tell that") == 1


@pytest.mark.parametrize(
    "question",
    [
        "What do you see?",
        "Hi, what can you see right now?",
        "Describe the picture",
        "Show me the view",
        "Look at this",
        "What\N{RIGHT SINGLE QUOTATION MARK}s in the picture?",
        "Can you describe what is on my screen, please?",
        "What do you see on the desk camera?",
        "Tell me what the camera sees.",
    ],
)
@pytest.mark.parametrize("can_mark", [False, True])
def test_a_general_question_is_answered_with_what_it_sees(question: str, can_mark: bool) -> None:
    picture = with_code("RIVER-17")
    picture[240:] = (30, 60, 200)
    reply = str(ask(question, {"desk camera": picture}, can_mark=can_mark))
    assert reply.startswith("I see a picture of mainly blue, white")
    assert reply.endswith(". There is a code that says RIVER-17.")


def test_a_colour_of_one_thing_is_told_only_of_the_whole() -> None:
    picture = paper((200, 30, 30))
    assert ask("What colour is my shirt?", {"desk": picture}) == (
        "I can tell that only of the whole picture. The main colours are red."
    )
    assert ask("What colour is the dog?", {"desk": picture}) == (
        "I can't tell that: I recognise no people, things or places. The main colours are red."
    )


def test_who_stands_beside_a_sign_is_not_told_but_the_sign_is_read() -> None:
    assert ask("How many people stand at the sign?", {"desk": with_text("EXIT 12")}) == (
        "I can't tell that: I recognise no people, things or places. The text says: EXIT 12."
    )


def test_a_view_without_a_picture_is_told_with_its_reason() -> None:
    assert ask("What do you see?", {"desk": None}) == (
        'I can\'t see anything now: no picture from "desk": it is muted.'
    )


def test_an_answered_question_does_not_lend_its_pictures() -> None:
    talk = Talk()
    talk.hear("What does the code say?", {"desk": with_code("RIVER-17")})
    assert talk.hear("What does the code say?", {"desk": paper()}) == "I see no code I can read."


def test_a_question_nobody_answered_does_not_lend_its_views() -> None:
    talk = Talk()
    talk.show(*seen({"desk": with_code("RIVER-17")}))
    seeing.Talk.ask(talk, "What does the code say?")
    assert talk.hear("What does the code say?", {"desk": with_code("APPLE-2")}) == "The code says APPLE-2."
