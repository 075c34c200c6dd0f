"""``VisionAgent``: an ``Agent`` whose every answer starts from the current view."""

from __future__ import annotations

import asyncio
import re
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
    UserStateChangedEvent,
    llm,
)

from .imaging.jpeg import EncodedImage
from .options import DEFAULT_INSTRUCTIONS
from .output import PictureOutput, RoomOutput
from .realtime import RealtimeFeed
from .tools import annotate_tool
from .turns import context
from .uploads import UploadLimits, Uploads
from .views.vision import Vision

TYPING_TOPIC = "vision.typing"
"""Data packets on it, whatever is in them, say that a person begins to type."""
EARLY_MAX_S = 10.0
"""How long before the end of its turn a preemptive request may have been made, in seconds."""


class VisionAgent(Agent):
    """Binds the current view to each user turn, spoken or typed, once.

    Args:
        vision: The eyes. Unless the caller has opened them, they are opened when the agent enters a
            session and closed when it leaves; the session's next agent may open them again.
        instructions: What the model is told at the start.
        chat_ctx: Initial context, with pictures if wanted.
        tools: The user's own tools, beside ``annotate``.
        output: Where marked pictures go; the room if there is one. Without either there is no
            ``annotate``.
        uploads: What is accepted from a participant.
    """

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
        self._shown: list[context.Shown] = []  # the pictures of the last request
        self._turns = 0
        self._limits = uploads
        self._speaking = False
        self._binding = asyncio.Lock()
        self._early: tuple[llm.ChatMessage, float] | None = None  # of a preemptive request, and when
        self._shared: llm.ChatMessage | None = None  # it holds the pictures of a preemptive request
        self._uploads: Uploads | None = None
        self._opened_vision = False
        self._entered: AgentSession[Any] | None = None
        self._feed: RealtimeFeed | None = None  # with a realtime model only

    async def on_enter(self) -> None:
        """Look when the user speaks; in a room, begin to take uploads."""
        if not self._vision.is_open:
            self._vision.open()
            self._opened_vision = True
        realtime = self._realtime_session()
        if realtime is not None:
            self._feed = RealtimeFeed(self._vision, push=realtime.push_video, tell=self._tell)
            self._feed.start()
        self._entered = self.session
        self._entered.on("conversation_item_added", self._on_item)
        self._entered.on("user_state_changed", self._on_user_state)
        if self._vision.room is not None:
            self._vision.room.on("data_received", self._on_data)
            self._uploads = Uploads(
                self._vision.room,
                accept=self._accept,
                limits=self._limits,
                max_side_px=self._vision.options.max_side_px,
            )
            self._uploads.start()

    async def on_exit(self) -> None:
        """End the uploads, look no longer."""
        session, self._entered = self._entered, None  # self.session is gone if it ends amid a hand-off
        if session is not None:
            session.off("conversation_item_added", self._on_item)
            session.off("user_state_changed", self._on_user_state)
        if self._vision.room is not None:
            self._vision.room.off("data_received", self._on_data)
        self._speech(False)
        feed, self._feed = self._feed, None
        if feed is not None:
            await feed.aclose()
        uploads, self._uploads = self._uploads, None
        if uploads is not None:
            await uploads.aclose()
        if self._opened_vision:
            self._opened_vision = False
            await self._vision.aclose()

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        """Bind the picture a preemptive request already showed, or a new one."""
        if self._feed is not None:  # a realtime model has seen it already
            return
        early, self._early = self._early, None
        if early is not None and time.monotonic() - early[1] < EARLY_MAX_S:
            async with self._binding:  # its picture may still be on the way
                if _words(early[0]) == _words(new_message):
                    context.share(early[0], new_message)
                    self._shared = new_message
        await self._bind(new_message)

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncIterable[llm.ChatChunk | str | FlushSentinel]:
        """Send the request with the view in it."""
        message = context.turn_to_bind(chat_ctx, said={item.id for item in self.chat_ctx.items})
        if message is not None and message is self._shared and not _is_underway(chat_ctx, message):
            self._shared = None  # the preemptive reply was thrown away: its picture may be old by now
            taken_s = context.taken_s(message)
            if taken_s is None or time.time() - taken_s > self._vision.options.max_age_s:
                context.unbind(message)
        if message is not None and not context.is_bound(message):
            self._early = message, time.monotonic()
            await self._bind(message)
        context.decay(chat_ctx.items, max_images=self._vision.options.max_images)
        self._shown = context.shown(chat_ctx.items)
        async for chunk in Agent.default.llm_node(self, context.render(chat_ctx), tools, model_settings):
            yield chunk

    def _realtime_session(self) -> llm.RealtimeSession[Any] | None:
        try:
            return self.realtime_llm_session
        except RuntimeError:  # a model that is asked turn by turn
            return None

    def _seen(self) -> list[context.Shown]:
        return self._shown if self._feed is None else self._feed.shown()

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, llm.ChatMessage) or item.role != "user":
            return
        if self._early is not None and self._early[0].id == item.id:  # it was typed: no end of a turn follows
            self._early = None
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

    async def _accept(self, image: EncodedImage, caption: str) -> None:
        chat_ctx = self.chat_ctx.copy()
        chat_ctx.insert(context.uploaded(image, caption, taken_s=time.time()))
        await self.update_chat_ctx(chat_ctx)

    async def _bind(self, message: llm.ChatMessage) -> None:
        async with self._binding:
            if not context.is_bound(message):
                views = await self._vision.look()
                self._turns += 1
                context.bind(message, views, detail=self._vision.options.inference_detail, turn=self._turns)


def _is_underway(chat_ctx: llm.ChatContext, message: llm.ChatMessage) -> bool:
    """Tell whether the answer has begun: a tool was called since."""
    since = chat_ctx.items[chat_ctx.items.index(message) + 1 :]
    return any(isinstance(item, llm.FunctionCall | llm.FunctionCallOutput) for item in since)


def _words(message: llm.ChatMessage) -> list[str]:
    return re.findall(r"\w+", (message.raw_text_content or "").casefold())
