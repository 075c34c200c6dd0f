"""A conversation about one source without a room, with the same views, agent and model as in a room."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from livekit.agents import AgentSession, APIError
from livekit.agents.voice import io
from livekit.agents.voice.run_result import RunResult

from .agent import VisionAgent
from .config import Config
from .errors import VisionAgentError
from .initial import initial_context
from .livekit_compat import lasting_connect_options
from .models import open_model
from .output import PictureOutput
from .record.sighting import Sighting
from .sources import FrameSource
from .views.vision import Vision


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, and what was seen for it."""

    text: str
    """The last message of the model."""
    views: Sequence[Sighting]
    """What each view showed for this question."""
    latency_ms: float
    """From the question to the end of the answer, in milliseconds."""

    def report(self) -> dict[str, Any]:
        """Return the answer as ``ask --json`` prints it."""
        images = [
            {
                "source": view.view,
                "age_ms": round((view.age_s or 0.0) * 1000, 1),
                "width": view.image.width,
                "height": view.image.height,
                "bytes": len(view.image.data),
                "mime_type": view.image.mime_type,
            }
            for view in self.views
            if view.image is not None
        ]
        return {"answer": self.text, "images": images, "latency_ms": round(self.latency_ms, 1)}


class Conversation:
    """An async context manager: opens source, model and session, and answers typed questions.

    Args:
        config: Settings of the agent.
        source: What to look at: a source or a URI.
        on_text: Called with each piece of an answer as it arrives.
        output: Where marked pictures go; without it the agent marks none.

    Raises:
        VisionAgentError: A setting can't be used.
    """

    def __init__(
        self,
        config: Config,
        *,
        source: FrameSource | str,
        on_text: Callable[[str], None] | None = None,
        output: PictureOutput | None = None,
    ) -> None:
        self.model_name = config.agent.model
        self.vision = Vision(source=source, options=config.vision)
        self._config = config
        self._on_text = on_text
        self._output = output
        self._stack = AsyncExitStack()
        self._session: AgentSession[Any] | None = None

    async def __aenter__(self) -> Conversation:
        """Open everything."""
        config = self._config
        async with AsyncExitStack() as stack:
            model = await stack.enter_async_context(open_model(config.agent.model))
            chat_ctx = await initial_context(config.context.images, config.context, vision=config.vision)
            await stack.enter_async_context(self.vision)
            # a model that sometimes fails ends a question, not the conversation
            connect = lasting_connect_options()
            session = await stack.enter_async_context(AgentSession[Any](llm=model, conn_options=connect))
            if self._on_text is not None:
                session.output.transcription = _Pieces(self._on_text)
            agent = VisionAgent(
                vision=self.vision,
                instructions=config.agent.instructions,
                chat_ctx=chat_ctx,
                output=self._output,
            )
            await session.start(agent)
            await self.vision.opened()  # a source that can't be opened fails now, not in an answer
            self._session, self._stack = session, stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close everything."""
        self._session = None
        await self._stack.aclose()

    async def ask(self, question: str) -> Answer:
        """Ask one question and wait for the whole answer.

        Raises:
            VisionAgentError: The model failed, or said nothing.
        """
        if self._session is None:
            raise RuntimeError("the conversation is not open: use `async with`")
        started_s, asked_s = time.perf_counter(), time.monotonic()
        result: RunResult[Any] = self._session.run(user_input=question)
        try:
            await result
        except APIError as error:
            raise VisionAgentError(f"model {self.model_name!r}: {_reason(error)}") from error
        latency_ms = (time.perf_counter() - started_s) * 1000
        messages = [event.item for event in result.events if event.type == "message"]
        said = [message.text_content for message in messages if message.role == "assistant"]
        if not said or not said[-1]:
            raise VisionAgentError(f"model {self.model_name!r} gave no answer; run again with --verbose")
        return Answer(text=said[-1], views=self._seen(asked_s), latency_ms=latency_ms)

    def _seen(self, since_s: float) -> list[Sighting]:
        """Return what the views showed for the last question, from the record of its newest request."""
        ledger = self.vision.ledger
        requests = [request for request in ledger.requests if request.asked_s >= since_s]
        seen = [ledger.get(key) for request in requests[-1:] for key in request.current]
        return [each for each in seen if each is not None and each.purpose == "turn"]


def _reason(error: APIError) -> str:
    text = f"{error.message}: {error.body}" if error.body else error.message
    return " ".join(text.split())[:300]


class _Pieces(io.TextOutput):
    def __init__(self, on_text: Callable[[str], None]) -> None:
        super().__init__(label="conversation", next_in_chain=None)
        self._on_text = on_text

    async def capture_text(self, text: str) -> None:
        self._on_text(text)

    def flush(self) -> None:
        """Do nothing: ``capture_text`` keeps no text back."""
