"""Pictures into and out of the chat context.

A picture is bound to a user message once. The line of text beside it is kept in the message's
``extra`` and written into the request only, so that the spoken text stays what the user said:
livekit-agents compares it to decide whether a preemptive reply can be used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from livekit.agents import llm

from ..imaging.jpeg import EncodedImage

EXTRA_KEY = "vision_agent"
MAX_NAME_CHARS = 200
"""Most that is shown of a name or a caption."""
DROPPED_LINE = "[an earlier picture, no longer shown]"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one view shows at a turn: a picture, or why there is none."""

    name: str
    """The view's name."""
    image: EncodedImage | None
    """The picture, or None."""
    age_s: float | None
    """The picture's age when it was chosen, in seconds."""
    problem: str | None = None
    """Why there is no picture."""
    taken_s: float | None = None
    """When the picture reached us, in seconds of Unix time."""

    def line(self) -> str:
        """Return the one line the model reads beside the picture."""
        name = plain(self.name)
        if self.image is None:
            return f"[no picture from {name}: {plain(self.problem or 'not available')}]"
        age_ms = 0.0 if self.age_s is None else self.age_s * 1000
        return f"[{name}, seen {age_ms:.0f} ms before this question]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture in a request."""

    view: str
    """Name of the view, or the caption of a picture that was sent."""
    data_url: str
    """The picture as the model gets it."""
    taken_s: float | None
    """When it reached us, in seconds of Unix time."""
    turn: int
    """Number of the turn it belongs to, counted from 1."""


def is_bound(message: llm.ChatMessage) -> bool:
    """Tell whether the message already has its views."""
    return EXTRA_KEY in message.extra


def bind(message: llm.ChatMessage, views: Iterable[View], *, detail: str = "auto", turn: int = 0) -> None:
    """Attach views to a user message, in place, once.

    Args:
        message: The user's message; its text is left alone.
        views: What is in view now. None at all means there is no camera.
        detail: ``inference_detail`` of the pictures: low, high or auto.
        turn: Number of the turn.
    """
    if is_bound(message):
        return
    pictures: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for view in views:
        if view.image is None:
            notes.append(view.line())
            continue
        content = llm.ImageContent(
            image=view.image.data_url(),
            mime_type=view.image.mime_type,
            inference_detail="low" if detail == "low" else "high" if detail == "high" else "auto",
        )
        pictures[content.id] = {"line": view.line(), "view": plain(view.name), "taken_s": view.taken_s}
        message.content.append(content)
    if not pictures and not notes:
        notes.append("[no picture: there is no camera]")
    message.extra[EXTRA_KEY] = {"pictures": pictures, "notes": notes, "turn": turn}


def uploaded(image: EncodedImage, caption: str, *, taken_s: float | None = None) -> llm.ChatMessage:
    """Return a user message that holds a picture somebody sent, with its line."""
    content = llm.ImageContent(image=image.data_url(), mime_type=image.mime_type)
    caption = plain(caption)
    line = f"[a picture the user sent: {caption}]" if caption else "[a picture the user sent]"
    pictures = {content.id: {"line": line, "view": caption or "upload", "taken_s": taken_s}}
    extra = {EXTRA_KEY: {"pictures": pictures, "notes": [], "turn": 0, "kind": "sent"}}
    return llm.ChatMessage(role="user", content=[content], extra=extra)


def given(content: llm.ImageContent, name: str) -> llm.ChatMessage:
    """Return a user message that holds a picture given at the start; ``decay`` leaves it alone."""
    clean = plain(name)
    line = f"[a picture given at the start: {clean}]"
    pictures = {content.id: {"line": line, "view": clean, "taken_s": None}}
    extra = {EXTRA_KEY: {"pictures": pictures, "notes": [], "turn": 0, "kind": "given"}}
    return llm.ChatMessage(role="user", content=[content], extra=extra)


def share(bound: llm.ChatMessage, message: llm.ChatMessage) -> None:
    """Give a message the very pictures another one has: the same turn, heard twice."""
    if is_bound(message) or not is_bound(bound):
        return
    message.content.extend(item for item in bound.content if isinstance(item, llm.ImageContent))
    message.extra[EXTRA_KEY] = bound.extra[EXTRA_KEY]


def shown(items: Iterable[Any]) -> list[Shown]:
    """List the pictures of a context, those of the newest message first."""
    found: list[Shown] = []
    for message in reversed([i for i in items if isinstance(i, llm.ChatMessage) and is_bound(i)]):
        record = message.extra[EXTRA_KEY]
        for part in message.content:
            if isinstance(part, llm.ImageContent) and isinstance(part.image, str):
                about = record["pictures"].get(part.id, {"view": "picture", "taken_s": None})
                found.append(
                    Shown(
                        view=about["view"],
                        data_url=part.image,
                        taken_s=about["taken_s"],
                        turn=record["turn"],
                    )
                )
    return found


def unbind(message: llm.ChatMessage) -> None:
    """Take the views off a message again, in place, so that it can be bound to those of now."""
    pictures = message.extra.pop(EXTRA_KEY)["pictures"]
    message.content = [
        part for part in message.content if not (isinstance(part, llm.ImageContent) and part.id in pictures)
    ]


def taken_s(message: llm.ChatMessage) -> float | None:
    """Return when the oldest of a message's pictures reached us, in seconds of Unix time."""
    times = [about["taken_s"] for about in message.extra[EXTRA_KEY]["pictures"].values()]
    return min((each for each in times if each is not None), default=None)


def decay(items: Iterable[Any], *, max_images: int) -> None:
    """Keep the newest ``max_images`` turn pictures; the older ones' bytes go, their line stays.

    The newest turn keeps its pictures however many views there are, and whatever was sent since.
    Pictures given at the start are reference, not views of a moment: they stay and don't count.
    """
    bound = [i for i in items if isinstance(i, llm.ChatMessage) and is_bound(i)]
    turn = next((message for message in reversed(bound) if "kind" not in message.extra[EXTRA_KEY]), None)
    left = max_images - (0 if turn is None else len(_pictures_of(turn)))
    for message in reversed(bound):
        if message is turn or message.extra[EXTRA_KEY].get("kind") == "given":
            continue
        for content in _pictures_of(message):
            left -= 1
            if left < 0:
                message.content.remove(content)


def _pictures_of(message: llm.ChatMessage) -> list[llm.ImageContent]:
    ours = message.extra[EXTRA_KEY]["pictures"]
    return [part for part in message.content if isinstance(part, llm.ImageContent) and part.id in ours]


def render(chat_ctx: llm.ChatContext) -> llm.ChatContext:
    """Return the context as the model gets it: each picture behind its line. The input is untouched."""
    items = [
        _rendered(item) if isinstance(item, llm.ChatMessage) and is_bound(item) else item
        for item in chat_ctx.items
    ]
    return llm.ChatContext(items)


def turn_to_bind(chat_ctx: llm.ChatContext, *, said: Collection[str] = ()) -> llm.ChatMessage | None:
    """Return the user message this request answers, or None if it answers none.

    A picture that was sent or given is no question: one that arrives behind the question, before it
    is answered, must not take its place.

    Args:
        chat_ctx: The request.
        said: Ids of what was really said. A message of the assistant that is not among them is no
            answer, but a note somebody has added to this request, such as what was looked up for it.
    """
    for item in reversed(chat_ctx.items):
        if isinstance(item, llm.ChatMessage) and item.role in ("user", "assistant"):
            if item.role == "user" and not (is_bound(item) and "kind" in item.extra[EXTRA_KEY]):
                return item
            if item.role == "assistant" and item.id in said:
                return None
    return None


def plain(text: str) -> str:
    """Make one short line of what somebody else wrote, so that it can't pass for a line of ours."""
    return "".join(char for char in text if char.isprintable() and char not in "[]")[:MAX_NAME_CHARS].strip()


def _rendered(message: llm.ChatMessage) -> llm.ChatMessage:
    record = message.extra[EXTRA_KEY]
    pictures: dict[str, dict[str, Any]] = record["pictures"]
    content: list[llm.ChatContent] = []
    kept = set()
    for part in message.content:
        if isinstance(part, llm.ImageContent) and part.id in pictures:
            content.append(pictures[part.id]["line"])
            kept.add(part.id)
        content.append(part)
    content.extend(DROPPED_LINE for image_id in pictures if image_id not in kept)
    content.extend(record["notes"])
    extra = {key: value for key, value in message.extra.items() if key != EXTRA_KEY}
    return message.model_copy(update={"content": content, "extra": extra})
