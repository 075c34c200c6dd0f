"""A server on loopback that speaks OpenAI Realtime's wire format and answers from the pictures it holds."""

from __future__ import annotations

import base64
import itertools
import re
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import WSMsgType, web

from vision_agent.imaging.frame import decode_jpeg
from vision_agent.models.reading import read_codes
from vision_agent.realtime.items import PREFIX

ITEM_ID = re.compile(r"[a-zA-Z0-9_-]{1,32}")
CONTENT = {  # what a client may put into a message, by its role
    "user": {"input_text", "input_image", "input_audio"},
    "assistant": {"output_text", "output_audio"},
    "system": {"input_text"},
}
LEAST_AUDIO_BYTES = 4800  # 100 ms of 24 kHz, 16 bit


@dataclass
class Answer:
    """One response, and the content of the conversation when it was created."""

    items: list[dict[str, Any]]
    codes: list[str]
    by_server: bool


@dataclass
class OpenAIRealtimeServer:
    """Keeps a conversation by the rules of the API; each violation becomes an error event.

    Args:
        echoes: Whether ``conversation.item.added`` holds pictures, as the reference says, or leaves them
            out, as it does with audio.
        answers_itself: Whether the end of speech creates a response, as with ``create_response``.
    """

    echoes: bool = True
    answers_itself: bool = False
    items: list[dict[str, Any]] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    """Every picture item that was ever created."""
    answers: list[Answer] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    refuses_pictures: bool = False
    transcribes: str = ""
    """What it hears in all audio, if anything."""
    connections: int = 0
    audio_bytes: int = 0
    """What is in the input buffer."""
    calls: list[dict[str, str]] = field(default_factory=list)
    """Tool calls to make instead of an answer, one a response."""

    def __post_init__(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/realtime", self._talk)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._socket: web.WebSocketResponse | None = None
        self._numbers = itertools.count(1)
        self.base_url = ""

    async def __aenter__(self) -> OpenAIRealtimeServer:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def ours(self) -> list[dict[str, Any]]:
        """The items of the conversation that a feed made."""
        return [item for item in self.pictures if item["id"].startswith(PREFIX)]

    @property
    def pictures(self) -> list[dict[str, Any]]:
        """The items of the conversation that hold a picture."""
        return [item for item in self.items if has_picture(item)]

    @property
    def texts(self) -> list[str]:
        """What is written in the conversation, without the lines beside pictures."""
        return [text for item in self.items if not has_picture(item) for text in texts_of(item)]

    async def begin_speech(self) -> None:
        """Simulate the start of speech, as the server's own voice activity detection reports it."""
        self._speech_id = self._new_id("item")
        await self._send("input_audio_buffer.speech_started", audio_start_ms=0, item_id=self._speech_id)

    async def end_speech(self) -> None:
        """Simulate the end of speech: audio becomes an item; with ``answers_itself`` a response follows."""
        await self._send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id=self._speech_id)
        await self._commit(self._speech_id)
        if self.answers_itself:
            await self._respond({}, by_server=True)

    async def drop(self) -> None:
        """Lose the connection, and the conversation with it."""
        assert self._socket is not None
        await self._socket.close()

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer x" or not request.query.get("model"):
            return web.Response(status=401)
        socket = web.WebSocketResponse(max_msg_size=20_000_000)
        await socket.prepare(request)
        self.items, self._socket, self.audio_bytes = [], socket, 0
        self.connections += 1
        await self._send("session.created", session={"type": "realtime", "object": "realtime.session"})
        async for raw in socket:
            if raw.type is WSMsgType.TEXT:
                await self._take(raw.json())
        return socket

    async def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "session.update":
            assert event["session"]["type"] == "realtime"
            await self._send("session.updated", session=event["session"])
        elif kind == "conversation.item.create":
            await self._create(event)
        elif kind == "conversation.item.delete":
            await self._delete(event)
        elif kind == "response.create":
            await self._respond(event.get("response") or {}, by_server=False)
        elif kind == "input_audio_buffer.append":
            self.audio_bytes += len(base64.b64decode(event["audio"], validate=True))
        elif kind == "input_audio_buffer.commit":
            if self.audio_bytes < LEAST_AUDIO_BYTES:
                await self._refuse(event, "input_audio_buffer_commit_empty", "buffer too small")
            else:
                await self._commit(self._new_id("item"))
        elif kind == "input_audio_buffer.clear":
            self.audio_bytes = 0
            await self._send("input_audio_buffer.cleared")
        elif kind == "response.cancel":
            await self._refuse(event, "response_cancel_not_active", "Cancellation failed: no response")
        else:
            await self._refuse(event, "invalid_value", f"Invalid value: {kind!r}.")

    async def _create(self, event: dict[str, Any]) -> None:
        item, previous = dict(event["item"]), event.get("previous_item_id")
        item.setdefault("id", self._new_id("item"))
        ids = [each["id"] for each in self.items]
        if not ITEM_ID.fullmatch(item["id"]):
            return await self._refuse(event, "invalid_value", "Invalid 'item.id'.")
        if item["id"] in ids:
            return await self._refuse(event, "item_create_duplicate_item_id", "there already")
        if previous not in (None, "root", *ids):
            return await self._refuse(event, "item_create_invalid_previous_item_id", "not found")
        if item["type"] == "message":
            kinds = {part["type"] for part in item["content"]}
            if not item["content"] or kinds - CONTENT[item["role"]]:
                return await self._refuse(event, "invalid_value", "Invalid 'item.content'.")
        if has_picture(item) and self.refuses_pictures:
            return await self._refuse(event, "invalid_value", "Invalid 'item.content[1].image_url'.")
        if has_picture(item):
            decode_jpeg(picture_of(item))  # it must be one
            self.created.append(item)
        at = len(ids) if previous is None else 0 if previous == "root" else ids.index(previous) + 1
        await self._add(item, at)

    async def _add(self, item: dict[str, Any], at: int | None = None) -> None:
        at = len(self.items) if at is None else at
        self.items.insert(at, item)
        previous = self.items[at - 1]["id"] if at else None
        shown = {**item, "object": "realtime.item", "status": "completed"}
        if has_picture(item) and not self.echoes:
            shown["content"] = [
                {key: value for key, value in part.items() if key != "image_url"} for part in item["content"]
            ]
        for kind in ("added", "done"):
            await self._send(f"conversation.item.{kind}", previous_item_id=previous, item=shown)

    async def _delete(self, event: dict[str, Any]) -> None:
        ids = [each["id"] for each in self.items]
        if event["item_id"] not in ids:
            return await self._refuse(event, "item_delete_invalid_item_id", "does not exist")
        del self.items[ids.index(event["item_id"])]
        await self._send("conversation.item.deleted", item_id=event["item_id"])

    async def _commit(self, item_id: str) -> None:
        self.audio_bytes = 0
        previous = self.items[-1]["id"] if self.items else None
        await self._send("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        content = [{"type": "input_audio", "transcript": None}]
        await self._add({"id": item_id, "type": "message", "role": "user", "content": content})
        if self.transcribes:
            kind = "conversation.item.input_audio_transcription.completed"
            await self._send(kind, item_id=item_id, content_index=0, transcript=self.transcribes)

    async def _respond(self, asked: dict[str, Any], *, by_server: bool) -> None:
        codes = [mark.text for item in self.pictures for mark in read_codes(decode_jpeg(picture_of(item)))]
        self.answers.append(Answer(items=list(self.items), codes=codes, by_server=by_server))
        told = [text for text in self.texts if text.startswith("[")]
        words = f"The code says {', '.join(codes)}." if codes else f"I see nothing. {told[-1:]}"
        response_id = self._new_id("resp")
        response = {"id": response_id, "object": "realtime.response", "output": []}
        metadata = asked.get("metadata")
        begun = {**response, "status": "in_progress", "metadata": metadata}
        await self._send("response.created", response=begun)
        base = {"id": self._new_id("item"), "object": "realtime.item"}
        if self.calls:
            call = {**base, "type": "function_call", "call_id": self._new_id("call"), **self.calls.pop(0)}
            await self._item_out(response_id, {**call, "arguments": ""}, call)
        else:
            message = {**base, "type": "message", "role": "assistant", "content": []}
            part = {"type": "text", "text": words}
            done = {**message, "content": [{"type": "output_text", "text": words}]}
            await self._item_out(response_id, message, done, part=part)
        usage = {"total_tokens": 2, "input_tokens": 1, "output_tokens": 1}
        ended = {**response, "status": "completed", "metadata": metadata, "usage": usage}
        await self._send("response.done", response=ended)

    async def _item_out(
        self,
        response_id: str,
        begun: dict[str, Any],
        done: dict[str, Any],
        part: dict[str, Any] | None = None,
    ) -> None:
        at = {"response_id": response_id, "output_index": 0}
        in_part = {**at, "item_id": begun["id"], "content_index": 0}
        await self._send("response.output_item.added", **at, item={**begun, "status": "in_progress"})
        previous = self.items[-1]["id"] if self.items else None
        self.items.append(done)
        added = {**begun, "status": "in_progress"}
        await self._send("conversation.item.added", previous_item_id=previous, item=added)
        if part is not None:
            await self._send("response.content_part.added", **in_part, part={**part, "text": ""})
            await self._send("response.output_text.delta", **in_part, delta=part["text"])
            await self._send("response.output_text.done", **in_part, text=part["text"])
            await self._send("response.content_part.done", **in_part, part=part)
        completed = {**done, "status": "completed"}
        await self._send("response.output_item.done", **at, item=completed)
        await self._send("conversation.item.done", previous_item_id=previous, item=completed)

    async def _refuse(self, event: dict[str, Any], code: str, message: str) -> None:
        about = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
        error = {**about, "event_id": event.get("event_id")}
        self.errors.append(error)
        await self._send("error", error=error)

    async def _send(self, kind: str, **fields: Any) -> None:
        assert self._socket is not None
        if not self._socket.closed:
            await self._socket.send_json({"type": kind, "event_id": self._new_id("event"), **fields})

    def _new_id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"


def has_picture(item: dict[str, Any]) -> bool:
    """Whether an item is a message with a picture."""
    return any(part.get("type") == "input_image" for part in item.get("content") or ())


def picture_of(item: dict[str, Any]) -> bytes:
    """Return the file's bytes of an item's only picture."""
    (url,) = [part["image_url"] for part in item["content"] if part["type"] == "input_image"]
    header, _, body = url.partition(",")
    assert header in ("data:image/jpeg;base64", "data:image/png;base64"), header
    return base64.b64decode(body, validate=True)


def codes_in(item: dict[str, Any]) -> list[str]:
    """Return what the QR codes of an item's picture say."""
    return [mark.text for mark in read_codes(decode_jpeg(picture_of(item)))]


def texts_of(item: dict[str, Any]) -> list[str]:
    """Return the texts of an item."""
    return [part["text"] for part in item.get("content") or () if part.get("text") is not None]
