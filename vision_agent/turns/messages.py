"""Sightings in chat messages: pictures go into the message's content, their records into its ``extra``.

The spoken text stays as the user said it: livekit-agents compares it to decide whether it can use a
preemptive reply. A picture is a data URL: a ``VideoFrame`` would keep the raw frame alive.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from livekit.agents import llm

from ..imaging.jpeg import EncodedImage
from ..record.ledger import Ledger
from ..record.sighting import Sighting

EXTRA_KEY = "vision_agent"
"""Key in ``ChatMessage.extra`` for the records of a message's pictures."""
Kind = Literal["question", "sent", "given", "tool"]
"""What a bound message is: a user's words, or pictures that came without a question."""


def about(message: llm.ChatMessage) -> dict[str, Any]:
    """Return the records of a message's pictures; empty if there are none."""
    found = message.extra.get(EXTRA_KEY)
    return found if isinstance(found, dict) else {}


def is_bound(message: llm.ChatMessage) -> bool:
    """Return whether the message already has its sightings."""
    return "sightings" in about(message)


def has_picture(message: llm.ChatMessage) -> bool:
    """Return whether the message holds a picture."""
    return any(isinstance(part, llm.ImageContent) for part in message.content)


def is_question(message: llm.ChatMessage) -> bool:
    """Return whether a user message holds a person's words, not pictures that came without a question."""
    return message.role == "user" and about(message).get("kind", "question") == "question"


def asked_by(message: llm.ChatMessage) -> str:
    """Return the identity of the person who asked, or an empty string."""
    return str(about(message).get("asked_by", ""))


def turn_of(message: llm.ChatMessage) -> int:
    """Return the number of the turn a message belongs to; 0 if it has none yet."""
    return int(about(message).get("turn", 0))


def bind(message: llm.ChatMessage, sightings: Iterable[Sighting], *, turn: int, detail: str = "auto") -> None:
    """Attach sightings to a user message, in place, once.

    Args:
        message: The user's message; its text does not change.
        sightings: What is in view now; an empty iterable means that there is no camera.
        turn: Number of the turn.
        detail: ``inference_detail`` of the pictures: low, high or auto.
    """
    if is_bound(message):
        return
    seen = list(sightings)
    message.content.extend(picture(each, detail=detail) for each in seen if each.image or each.address)
    known = {"kind": "question", "turn": turn, "sightings": [each.record() for each in seen]}
    message.extra[EXTRA_KEY] = {**about(message), **known}


def unbind(message: llm.ChatMessage) -> None:
    """Remove the sightings from a message, in place, so that it can be bound to new ones."""
    known = {key: value for key, value in about(message).items() if key == "asked_by"}
    take_out(message, {each["id"] for each in about(message)["sightings"]})
    message.extra.pop(EXTRA_KEY)
    if known:
        message.extra[EXTRA_KEY] = known


def take_out(message: llm.ChatMessage, sighting_ids: Collection[str]) -> None:
    """Take the pictures of these sightings out of a bound message, in place; ``extra`` notes that."""
    left = [
        part
        for part in message.content
        if not (isinstance(part, llm.ImageContent) and part.id in sighting_ids)
    ]
    if len(left) != len(message.content):
        message.content[:] = left
        about(message)["reduced"] = True


def share(bound: llm.ChatMessage, message: llm.ChatMessage) -> None:
    """Give a message the same sightings as another one: both are the same turn."""
    if is_bound(message) or not is_bound(bound):
        return
    ours = {each["id"] for each in about(bound)["sightings"]}
    message.content.extend(
        part for part in bound.content if isinstance(part, llm.ImageContent) and part.id in ours
    )
    message.extra[EXTRA_KEY] = {**about(message), **about(bound)}


def carrier(
    sightings: Sequence[Sighting], *, kind: Kind, detail: str = "auto", turn: int = 0
) -> llm.ChatMessage:
    """Return a user message that holds sightings and no words.

    Args:
        sightings: What it holds.
        kind: ``sent`` by a person, ``given`` at the start, or added by a ``tool``; ``question`` for the
            view when the agent speaks by itself.
        detail: ``inference_detail`` of the pictures: low, high or auto.
        turn: Number of the turn, 0 if it waits for the next question.
    """
    content: list[llm.ChatContent] = [
        picture(each, detail=detail) for each in sightings if each.image or each.address
    ]
    known = {"kind": kind, "turn": turn, "sightings": [each.record() for each in sightings]}
    return llm.ChatMessage(role="user", content=content, extra={EXTRA_KEY: known})


def picture(sighting: Sighting, *, detail: str) -> llm.ImageContent:
    """Return the content of a sighting that has a picture; its id is the sighting's."""
    image = sighting.image
    return llm.ImageContent(
        id=sighting.id,
        image=sighting.address if image is None else image.data_url(),
        mime_type=_type_at(sighting.address) if image is None else image.mime_type,
        inference_detail="low" if detail == "low" else "high" if detail == "high" else "auto",
    )


def _type_at(address: str) -> str | None:
    mime_type, _ = mimetypes.guess_type(urlsplit(address).path)
    return mime_type if mime_type is not None and mime_type.startswith("image/") else None


def sightings_of(message: llm.ChatMessage, ledger: Ledger) -> list[Sighting]:
    """Return a bound message's sightings from the ledger or, if it does not know them, from the message.

    A message may come from another agent, from ``initial_context`` or from a saved history: the ledger
    then notes its sightings.
    """
    pictures = {part.id: part for part in message.content if isinstance(part, llm.ImageContent)}
    found = []
    for known in about(message).get("sightings", ()):
        sighting = ledger.get(known["id"])
        if sighting is None:
            sighting = _restored(known, pictures.get(known["id"]))
            if sighting.image is not None or sighting.address:  # else an old turn's, of which a line is left
                ledger.note(sighting)
        found.append(sighting)
    return found


def _restored(known: dict[str, Any], content: llm.ImageContent | None) -> Sighting:
    image = None
    if content is not None and isinstance(content.image, str) and ";base64," in content.image:
        header, _, body = content.image.partition(";base64,")
        width, height = known.get("size_wh") or (0, 0)
        try:
            data = base64.b64decode(body, validate=True)
            image = EncodedImage(
                data=data, mime_type=header.removeprefix("data:"), width=width, height=height
            )
        except binascii.Error:
            image = None
    return Sighting(
        id=known["id"],
        view=known["view"],
        owner=known["owner"],
        purpose=known["purpose"],
        image=image,
        problem=known["problem"],
        address=known["address"],
        captured_unix_s=known["captured_unix_s"],
        chosen=known["chosen"],
    )
