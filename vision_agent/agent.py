"""``VisionAgent``: an ``Agent`` that starts every answer from the current view."""

from __future__ import annotations

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
    SpeechCreatedEvent,
    UserStateChangedEvent,
    llm,
)

from .added import added, encoded
from .hearing.listening import EVERYBODY, Listening
from .hearing.presence import Presence
from .hearing.questions import Questions
from .hooks import wrap_hooks
from .imaging.frame import Frame, VideoFrameLike
from .imaging.jpeg import EncodedImage
from .options import DEFAULT_INSTRUCTIONS
from .output import PictureOutput, RoomOutput
from .realtime import RealtimeFeed
from .tools import Seen, annotate_tool, seen_by_call
from .turns import lines, messages
from .turns.binder import TurnBinder
from .turns.rendering import request_id_of
from .uploads import UploadLimits, Uploads
from .views.vision import Vision


class VisionAgent(Agent):
    """Binds the current view to each request once, however the request was made.

    A subclass may override any hook: the agent sees whether or not the subclass calls ``super()``.

    Args:
        vision: The views. If the caller has not opened it, the agent opens it when it enters a session
            and closes it when it leaves; the session's next agent may open it again.
        instructions: What the model reads at the start.
        chat_ctx: Initial chat context, with or without pictures.
        tools: The user's own tools, beside ``annotate``.
        output: Where marked pictures go; None: the room, if there is one. Without an output and a room
            the tool ``annotate`` is not available.
        uploads: Limits on uploads from a participant.
        listen_to: Who may ask and send in a room: ``everybody`` but agents and devices, a list of
            identities, or ``linked``, the one person LiveKit's session listens to.
        questions: Takes typed questions, if the caller has opened it before the session starts; the caller
            closes it.

    Raises:
        ConfigError: ``listen_to`` has another value.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Wrap the hooks of a subclass so that they include ours."""
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
        listen_to: Listening | str | Sequence[str] = EVERYBODY,
        questions: Questions | None = None,
    ) -> None:
        if output is None and vision.room is not None:
            output = RoomOutput(vision.room)
        own = [annotate_tool(self._seen, output)] if output is not None else []
        super().__init__(instructions=instructions, chat_ctx=chat_ctx, tools=[*own, *tools])
        self._vision = vision
        self._binder = TurnBinder(vision)
        self._limits = uploads
        self._listening = listen_to if isinstance(listen_to, Listening) else Listening.parse(listen_to)
        self._questions = questions
        self._speaking = False
        self._spoke = False  # in the turn that is not completed yet
        self._presence: Presence | None = None  # in a room only
        self._opened_vision = False
        self._entered: AgentSession[Any] | None = None
        self._feed: RealtimeFeed | None = None  # with a realtime model only

    async def on_enter(self) -> None:
        """Start to look when the user speaks; in a room, start to accept uploads."""
        await self._enter()

    async def on_exit(self) -> None:
        """Stop accepting uploads, and stop looking."""
        await self._leave()

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        """Bind the pictures of the preemptive request, or new ones."""
        await self._completed(turn_ctx, new_message)

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncIterable[llm.ChatChunk | str | FlushSentinel]:
        """Send the request with the current view."""
        request = await self._request(chat_ctx)
        async for chunk in Agent.default.llm_node(self, request, tools, model_settings):
            self._note_calls(chunk, request)
            yield chunk

    async def add_picture(
        self, picture: EncodedImage | Frame | VideoFrameLike | bytes, *, caption: str = ""
    ) -> str:
        """Show the model a picture that a tool has made, in the request that follows the tool.

        A tool can't return a picture, and a model easily takes a user message from a tool for a question.

        Args:
            picture: A picture, a frame of any pixel format, or the bytes of a picture file. A frame goes
                through the filters of all views, of its ``source`` and of the view that the caption
                names. A LiveKit frame has no source: there only the caption counts.
            caption: What it shows, in a few words.

        Returns:
            A sentence that the tool can return.

        Raises:
            ImageError: It can't be read.
        """
        image = await encoded(picture, vision=self._vision, caption=caption)
        await self._insert(self._binder.add(added(image, caption, purpose="tool")))
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
        session.on("speech_created", self._on_speech)
        session.on("user_state_changed", self._on_user_state)
        if self._vision.room is not None:
            self._presence = self._present(self._vision.room, session)
            self._presence.start()

    async def _leave(self) -> None:
        session, self._entered = self._entered, None  # self.session fails if it ends during a hand-off
        if session is None:
            return
        session.off("conversation_item_added", self._on_item)
        session.off("speech_created", self._on_speech)
        session.off("user_state_changed", self._on_user_state)
        self._speech(False)
        feed, self._feed = self._feed, None
        presence, self._presence = self._presence, None
        try:
            if feed is not None:
                await feed.aclose()
            if presence is not None:
                await presence.aclose()
        finally:
            if self._opened_vision:
                self._opened_vision = False
                await self._vision.aclose()

    async def _completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        await self._enter()
        spoke, self._spoke = self._spoke, False
        if self._feed is not None:
            if not spoke:  # nobody heard the end of speech: the application ended the turn
                self._feed.typed()
        elif not messages.is_bound(new_message):
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
        return seen_by_call(self._vision.ledger, run.function_call.call_id)

    def _present(self, room: rtc.Room, session: AgentSession[Any]) -> Presence:
        options = self._vision.options

        def may_send(identity: str) -> bool:
            return presence.may_send(identity)

        uploads = Uploads(
            room,
            accept=self._accept,
            limits=self._limits,
            max_side_px=options.max_side_px,
            quality=options.quality,
            may_send=may_send,
        )
        presence = Presence(
            room,
            session,
            listening=self._listening,
            uploads=uploads,
            on_typing=self._vision.touch,
            questions=self._questions,
        )
        return presence

    def _asker(self) -> str:
        """Return the identity of the person who speaks; empty if the message itself names who asks."""
        return "" if self._presence is None else self._presence.spoken_by()

    def _realtime_session(self) -> llm.RealtimeSession[Any] | None:
        try:
            return self.realtime_llm_session
        except RuntimeError:  # the model is not a realtime model
            return None

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage) and event.item.role == "user":
            self._binder.added(event.item)

    def _on_speech(self, event: SpeechCreatedEvent) -> None:
        """Give a realtime model the current view for a typed question, or if the agent speaks by itself."""
        is_asked = event.source == "generate_reply" and event.user_initiated
        if self._feed is not None and is_asked and event.speech_handle.input_details.modality == "text":
            self._feed.typed()  # the model's turn starts when this returns
            self._vision.touch()

    async def _tell(self, line: str) -> None:
        chat_ctx = self.chat_ctx.copy()
        newest = chat_ctx.items[-1] if chat_ctx.items else None
        if not isinstance(newest, llm.ChatMessage) or newest.content != [line]:  # else a try that timed out
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
        self._spoke |= speaking
        if self._feed is not None:
            self._feed.speech(speaking)

    async def _accept(self, image: EncodedImage, caption: str, identity: str) -> None:
        sighting = added(image, caption, purpose="upload", owner=identity)
        if self._feed is None:
            message = self._binder.accept(sighting, self.chat_ctx.items)
        else:  # a realtime model reads its context without rendering: put the line beside the picture
            message = messages.carrier([self._vision.ledger.note(sighting)], kind="sent")
            message.content.insert(0, lines.picture_line(sighting))
        await self._insert(message)

    async def _insert(self, message: llm.ChatMessage) -> None:
        chat_ctx = self.chat_ctx.copy()
        chat_ctx.insert(message)
        await self.update_chat_ctx(chat_ctx)
