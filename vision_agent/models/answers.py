"""Answers in words, from the pixels of a request."""

from __future__ import annotations

from ..imaging.frame import U8
from . import reading
from .question import Question
from .request import Picture, Request

CAN = "I can read QR and bar codes, text, main colours and brightness, and tell whether the view changed."
CANNOT = "I can't tell that: I recognise no people, things or places."
ONLY_THE_WHOLE = "I can tell that only of the whole picture."
SILENT = "I can't tell that."


def describe(request: Request) -> str:
    """Say what the question asks about each picture, as far as pixels show it."""
    question = request.question
    told = [(picture, _described(question, rgb)) for picture, rgb in request.pictures()]
    if not any(text for _, text in told):
        asked = question.unknown or question.doubtful or question.identifying
        return f"{CANNOT if asked else SILENT} {CAN}"
    return " ".join([*_caution(question), *_by_name(told)])


def describe_change(request: Request) -> str:
    """Say for each view how much of it differs from the newest earlier picture of the same view."""
    told = [(view, _changed(request, view, rgb)) for view in request.views if (rgb := view.rgb()) is not None]
    if not told:
        return f"I can't tell what changed: {'; '.join(request.notes) or 'there is no picture of a view'}."
    return " ".join([*_caution(request.question), *_by_name(told)])


def _by_name(told: list[tuple[Picture, str]]) -> list[str]:
    if len(told) == 1:
        return [told[0][1]]
    return [f"{picture.title[0].upper()}{picture.title[1:]}: {text}" for picture, text in told]


def _caution(question: Question) -> list[str]:
    """Say what the answer does not cover, if the question asks for more than the model can tell."""
    if question.doubtful:
        return [CANNOT]
    return [ONLY_THE_WHOLE] if question.of_the_whole and question.unknown else []


def _described(question: Question, rgb: U8) -> str:
    said: list[str] = []
    if question.code:
        codes = [mark.text for mark in reading.read_codes(rgb)]
        said.append(f"The code says {', '.join(codes)}." if codes else "I see no code I can read.")
    if question.words and not said:
        texts = [mark.text for mark in reading.read_text(rgb)]
        said.append(f"The text says: {'; '.join(texts)}." if texts else "I see no text I can read.")
    if question.colour:
        said.append(f"The main colours are {', '.join(reading.main_colours(rgb))}.")
    if question.brightness:
        level = reading.brightness(rgb)
        word = "dark" if level < 0.25 else "bright" if level > 0.6 else "of medium brightness"
        said.append(f"The picture is {word} ({level:.0%}).")
    if not said and (question.general or (question.marking and not question.wanted)):
        codes = [mark.text for mark in reading.read_codes(rgb)]
        said.append(f"I see a picture of mainly {', '.join(reading.main_colours(rgb))}.")
        said += [f"There is a code that says {', '.join(codes)}."] if codes else []
    return " ".join(said)


def _changed(request: Request, view: Picture, after: U8) -> str:
    earlier = (picture.rgb() for picture in request.earlier if picture.name == view.name)
    before = next((rgb for rgb in earlier if rgb is not None), None)
    if before is None and request.forgotten:
        return "I have no earlier picture of this view any more, so I can't tell what changed."
    if before is None:
        only = "I have only one picture of this view so far, so I can't tell what changed."
        return f"{only} Ask again in a moment."
    share = reading.changed_share(before, after)
    if share < 0.002:
        return "Nothing changed that I can see."
    begin = "About" if _caution(request.question) else "Yes, about"
    return f"{begin} {max(share, 0.01):.0%} of the view changed since the picture before."
