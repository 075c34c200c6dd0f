"""``PictureItems``: pictures as items of an OpenAI conversation, one for each view.

LiveKit keeps a copy of the conversation and compares it with the agent's chat context. With the next
update it would delete an item that the agent does not know, and create an item again that somebody else
has deleted. So we hide our items from LiveKit: we rename the events about them before LiveKit reads them.
In the events about items that follow ours, we put the last item that LiveKit knows as the previous one.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from livekit.agents import llm

from ..livekit_compat import openai_conversation
from ..record.sighting import Sighting
from ..turns.lines import picture_line

logger = logging.getLogger(__name__)

PREFIX = "vision_"
"""The ids of our items and of our events begin with this."""
HIDDEN = "vision_agent."
"""Put before the type of an event that LiveKit must not read."""
_ADDED = ("conversation.item.added", "conversation.item.created", "conversation.item.done")


class PictureItems:
    """Shows pictures to an OpenAI session; for each view only the last one stays in the conversation.

    Args:
        session: An OpenAI session, or a fallback adapter that may contain one.
        detail: ``inference_detail`` of the pictures: low, high or auto.
    """

    def __init__(self, session: llm.RealtimeSession[Any], *, detail: str = "auto") -> None:
        self._session = session
        self._detail = detail
        self._prefix = f"{PREFIX}{uuid.uuid4().hex[:4]}_"  # an earlier agent's items may still be there
        self._current: dict[str, str] = {}  # ids of items, by the view's name
        self._pending: set[str] = set()  # sent, but not confirmed by the server
        self._present: set[str] = set()  # on the server
        self._closed = False
        session.on("openai_server_event_received", self._on_server_event)
        session.on("session_reconnected", self._on_reconnected)

    def show(self, sighting: Sighting) -> None:
        """Put a picture at the end of the conversation, and delete the view's earlier one.

        Args:
            sighting: The sighting of a view, with a picture.

        Raises:
            RuntimeError: The session in use accepts no items.
        """
        assert sighting.image is not None
        item_id = self._prefix + sighting.id.removeprefix("sighting_")
        image = {"type": "input_image", "image_url": sighting.image.data_url()}
        if self._detail != "auto":
            image["detail"] = self._detail
        line = {"type": "input_text", "text": picture_line(sighting, asked="now")}
        item = {"id": item_id, "type": "message", "role": "user", "content": [line, image]}
        conversation = openai_conversation(self._session)
        if conversation is None:
            raise RuntimeError("the realtime session in use accepts no conversation items")
        event = {"type": "conversation.item.create", "item": item}
        conversation.send_event({**event, "event_id": f"{item_id}_create"})
        self._pending.add(item_id)
        earlier = self._current.get(sighting.view)
        self._current[sighting.view] = item_id
        self._delete(earlier)

    def withdraw(self, view: str) -> None:
        """Delete the picture of a view from the conversation."""
        self._delete(self._current.pop(view, None))

    def is_busy(self, view: str) -> bool:
        """Return whether the last picture of a view is still on its way to the server."""
        return self._current.get(view) in self._pending

    def close(self) -> None:
        """Delete all pictures from the conversation; safe to call twice.

        We handle events until the server has confirmed this: the session may go on with another agent.
        """
        self._closed = True
        for view in list(self._current):
            self.withdraw(view)
        self._detach_if_done()

    def _delete(self, item_id: str | None) -> None:
        """Delete an item that is on the server; ``_arrived`` deletes one that is still on its way."""
        conversation = openai_conversation(self._session)
        if conversation is not None and item_id in self._present:
            event = {"type": "conversation.item.delete", "item_id": item_id}
            conversation.send_event({**event, "event_id": f"{item_id}_delete"})

    def _on_server_event(self, event: dict[str, Any]) -> None:
        kind = event.get("type", "").removeprefix(HIDDEN)  # an earlier agent's items may have hidden it
        if kind in _ADDED:
            item_id = (event.get("item") or {}).get("id") or ""
            if item_id.startswith(PREFIX):
                event["type"] = HIDDEN + kind
                self._arrived(item_id)
            elif (event.get("previous_item_id") or "").startswith(PREFIX):
                # what the server itself adds comes last
                items = self._session.chat_ctx.items
                event["previous_item_id"] = items[-1].id if items else None
        elif kind == "conversation.item.deleted":
            item_id = event.get("item_id") or ""
            if item_id.startswith(PREFIX):
                event["type"] = HIDDEN + kind
                self._gone(item_id)
        elif kind == "error":
            error = event.get("error") or {}
            event_id = error.get("event_id") or ""
            if event_id.startswith(PREFIX) and error.get("type") == "invalid_request_error":
                event["type"] = HIDDEN + kind
                self._refused(*event_id.rpartition("_")[::2], reason=error.get("code"))

    def _arrived(self, item_id: str) -> None:
        if item_id.startswith(self._prefix) and item_id not in self._present:
            self._pending.discard(item_id)
            self._present.add(item_id)
            if item_id not in self._current.values():
                self._delete(item_id)

    def _refused(self, item_id: str, action: str, *, reason: str | None) -> None:
        if item_id.startswith(self._prefix):
            # a refused delete is harmless: the server drops old items itself, to stay within its limits
            level = logging.WARNING if action == "create" else logging.DEBUG
            logger.log(level, "the model refused to %s a picture", action, extra={"reason": reason})
            self._gone(item_id)

    def _gone(self, item_id: str) -> None:
        self._pending.discard(item_id)
        self._present.discard(item_id)
        self._detach_if_done()

    def _on_reconnected(self) -> None:
        """Forget what was on the server: a new connection starts without pictures."""
        self._pending.clear()
        self._present.clear()
        self._detach_if_done()

    def _detach_if_done(self) -> None:
        if self._closed and not self._pending and not self._present:
            self._session.off("openai_server_event_received", self._on_server_event)
            self._session.off("session_reconnected", self._on_reconnected)
