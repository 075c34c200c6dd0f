"""``VisionAgent``: an ``Agent`` whose every answer starts from the current view."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Sequence
from typing import Any

from livekit import rtc
from livekit.agents import (
    Agent,
    AgentSession,
    ConversationItemAddedEvent,
    FlushSentinel,
    ModelSettings,
    RunContext,
    UserStateChangedEvent,
    llm,
)

from .hooks import wrap_hooks
from .imaging.files import read_picture
from .imaging.frame import Frame, VideoFrameLike
from .imaging.jpeg import EncodedImage
from .options import DEFAULT_INSTRUCTIONS
from .output import PictureOutput, RoomOutput
from .realtime import RealtimeFeed
from .record.sighting import Purpose, Sighting
from .tools import Seen, annotate_tool
from .turns import lines, messages
from .turns.binder import TurnBinder
from .turns.rendering import request_id_of
from .uploads import UploadLimits, Uploads
from .views.vision import Vision

TYPING_TOPIC = "vision.typing"
"""Data packets on it, whatever is in them, say that a person begins to type."""


class VisionAgent(Agent):
    """Binds the current view to each request, whichever way it comes, once.

    A subclass may override any hook; what makes it see works whether or not it calls ``super()``.

    Args:
        vision: The eyes. Unless the caller has opened them, they are opened when the agent enters a
            session and closed when it leaves; the session's next agent may open them again.
        instructions: What the model reads at the start.
        chat_ctx: Initial context, with pictures if wanted.
        tools: The user's own tools, beside ``annotate``.
        output: Where marked pictures go; the room if there is one. Without either there is no
            ``annotate``.
        uploads: What is accepted from a participant.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Make the hooks of a subclass include ours."""
        super().__init_subclass__(**options)
        wrap_hooks(cls)

    def __init__(
        self,
        *,
        vision: Vision,
        instructions: str = DEFAULT_INSTRUCTIONS,
        chat_ctx: llm.ChatContext | None = None,
        tools: Sequence[llm.Tool | llm.Toolset] = (),
        output: PictureOutput | None = None,
        uploads: UploadLimits | None = None,
    ) -> None:
        if output is None and vision.room is not None:
            output = RoomOutput(vision.room)
        own = [annotate_tool(self._seen, output)] if output is not None else []
        super().__init__(instructions=instructions, chat_ctx=chat_ctx, tools=[*own, *tools])
        self._vision = vision
        self._binder = TurnBinder(vision)
        self._limits = uploads
        self._speaking = False
        self._uploads: Uploads | None = None
        self._opened_vision = False
        self._entered: AgentSession[Any] | None = None
        self._feed: RealtimeFeed | None = None  # with a realtime model only

    async def on_enter(self) -> None:
        """Look when the user speaks; in a room, begin to take uploads."""
        await self._enter()

    async def on_exit(self) -> None:
        """End the uploads, look no longer."""
        await self._leave()

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        """Bind the pictures a preemptive request already showed, or new ones."""
        await self._completed(turn_ctx, new_message)

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncIterable[llm.ChatChunk | str | FlushSentinel]:
        """Send the request with the view in it."""
        request = await self._request(chat_ctx)
        async for chunk in Agent.default.llm_node(self, request, tools, model_settings):
            self._note_calls(chunk, request)
            yield chunk

    async def add_picture(
        self, picture: EncodedImage | Frame | VideoFrameLike | bytes, *, caption: str = ""
    ) -> str:
        """Show the model a picture that a tool has made, in the request that follows the tool.

        A tool can't return a picture, and a user message that it adds is easily taken for a question.

        Args:
            picture: A picture, a frame of any pixel format, or the bytes of a picture file. A frame goes
                through the filters for the view of the caption's name and for all views.
            caption: What it shows, in a few words.

        Returns:
            A sentence for the tool to return.

        Raises:
            ImageError: It can't be read.
        """
        image = await self._encoded(picture, caption)
        await self._insert(self._binder.add(_sighting(image, caption, purpose="tool")))
        return f"The picture {lines.quoted(caption or 'of the tool')} is in your context now."

    async def _enter(self) -> None:
        if self._entered is not None:
            return
        self._entered = session = self.session
        if not self._vision.is_open:
            self._vision.open()
            self._opened_vision = True
        realtime = self._realtime_session()
        if realtime is not None:
            self._feed = RealtimeFeed.for_session(self._vision, realtime, self._tell)
            self._feed.start()
        session.on("conversation_item_added", self._on_item)
        session.on("user_state_changed", self._on_user_state)
        if self._vision.room is not None:
            self._vision.room.on("data_received", self._on_data)
            self._uploads = Uploads(
                self._vision.room,
                accept=self._accept,
                limits=self._limits,
                max_side_px=self._vision.options.max_side_px,
                quality=self._vision.options.quality,
            )
            self._uploads.start()

    async def _leave(self) -> None:
        session, self._entered = self._entered, None  # self.session is gone if it ends amid a hand-off
        if session is None:
            return
        session.off("conversation_item_added", self._on_item)
        session.off("user_state_changed", self._on_user_state)
        if self._vision.room is not None:
            self._vision.room.off("data_received", self._on_data)
        self._speech(False)
        feed, self._feed = self._feed, None
        uploads, self._uploads = self._uploads, None
        try:
            if feed is not None:
                await feed.aclose()
            if uploads is not None:
                await uploads.aclose()
        finally:
            if self._opened_vision:
                self._opened_vision = False
                await self._vision.aclose()

    async def _completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        await self._enter()
        if self._feed is None and not messages.is_bound(new_message):  # a realtime model has seen it already
            await self._binder.completed(new_message, turn_ctx.items, asked_by=self._asker())

    async def _request(self, chat_ctx: llm.ChatContext) -> llm.ChatContext:
        await self._enter()
        said = {item.id for item in self.chat_ctx.items}
        return await self._binder.request(chat_ctx, said=said, asked_by=self._asker())

    def _note_calls(self, chunk: object, request: llm.ChatContext) -> None:
        if isinstance(chunk, llm.ChatChunk) and chunk.delta is not None:
            for call in chunk.delta.tool_calls:
                self._vision.ledger.note_call(call.call_id, request_id_of(request.items))

    async def _seen(self, run: RunContext[Any]) -> Seen:
        """Return what the model saw in the request that made a tool call."""
        if self._feed is not None:
            return Seen(current=await self._feed.sightings(), asked_by=self._asker())
        ledger = self._vision.ledger
        request = ledger.request_of_call(run.function_call.call_id)
        if request is None:
            return Seen(current=())
        current = [each for key in request.current if (each := ledger.get(key)) is not None]
        earlier = [each for key in request.earlier if (each := ledger.get(key)) is not None]
        return Seen(
            current=current,
            earlier=earlier,
            numbered=request.numbered,
            turn=request.turn,
            asked_by=request.asked_by,
        )

    def _asker(self) -> str:
        """Return the identity of the participant a spoken session listens to, or an empty string."""
        session = self._entered
        if session is None or self._vision.room is None:
            return ""
        try:
            linked = session.room_io.linked_participant
        except RuntimeError:  # the session runs without a room, or is closing
            return ""
        return "" if linked is None else linked.identity

    def _realtime_session(self) -> llm.RealtimeSession[Any] | None:
        try:
            return self.realtime_llm_session
        except RuntimeError:  # a model that is asked turn by turn
            return None

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, llm.ChatMessage) or item.role != "user":
            return
        self._binder.added(item)
        if self._feed is not None and not self._speaking:  # typed: the model is asked as soon as this returns
            self._feed.typed()
            self._vision.touch()

    def _on_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == TYPING_TOPIC:
            self._vision.touch()

    async def _tell(self, line: str) -> None:
        chat_ctx = self.chat_ctx.copy()
        chat_ctx.add_message(role="user", content=line)
        await self.update_chat_ctx(chat_ctx)

    def _on_user_state(self, event: UserStateChangedEvent) -> None:
        self._speech(event.new_state == "speaking")

    def _speech(self, speaking: bool) -> None:
        if speaking and not self._speaking:
            self._vision.hold()
        elif self._speaking and not speaking:
            self._vision.release()
        self._speaking = speaking
        if self._feed is not None:
            self._feed.speech(speaking)

    async def _accept(self, image: EncodedImage, caption: str, identity: str) -> None:
        sighting = _sighting(image, caption, purpose="upload", owner=identity)
        if self._feed is None:
            message = self._binder.accept(sighting, self.chat_ctx.items)
        else:  # a realtime model reads its context as it stands: the line goes with the picture
            message = messages.carrier([self._vision.ledger.note(sighting)], kind="sent")
            message.content.insert(0, lines.picture_line(sighting))
        await self._insert(message)

    async def _insert(self, message: llm.ChatMessage) -> None:
        chat_ctx = self.chat_ctx.copy()
        chat_ctx.insert(message)
        await self.update_chat_ctx(chat_ctx)

    async def _encoded(
        self, picture: EncodedImage | Frame | VideoFrameLike | bytes, caption: str
    ) -> EncodedImage:
        if isinstance(picture, EncodedImage):
            return picture
        options = self._vision.options
        if isinstance(picture, bytes):
            return await asyncio.to_thread(
                read_picture, picture, max_side_px=options.max_side_px, quality=options.quality
            )
        if not isinstance(picture, Frame):
            picture = Frame.from_video_frame(picture, captured_s=time.monotonic())
        return await asyncio.to_thread(self._vision.lens(caption).jpeg, picture)


def _sighting(image: EncodedImage, caption: str, *, purpose: Purpose, owner: str = "") -> Sighting:
    return Sighting(
        view=caption,
        owner=owner,
        purpose=purpose,
        image=image,
        captured_s=time.monotonic(),
        captured_unix_s=time.time(),
        chosen="sent",
    )
