"""``RealtimeFeed``: sends the views of a ``Vision`` to a realtime model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from livekit.agents import llm

from ..lasting import lasting
from ..record.sighting import Sighting
from ..turns import lines
from ..views.eye import Eye
from ..views.vision import Vision
from ..waiting import ended
from .items import PictureItems
from .outlet import Items, Outlet, Push
from .policy import FramePolicy, policy_of
from .telling import Tell, Telling
from .view import ViewFeed

CHECK_S = 0.5
"""How often we look for new views, in seconds."""


class RealtimeFeed:
    """Sends each view's pictures to a realtime model, at a rate or with each question.

    When a view no longer shows what is there now, the model reads a line about it, and another line when
    the view works again. If there are several views, each picture has its view's name written on it.
    Pictures and lines go on even if the model's client raises an error.

    Args:
        vision: The views, including those that come later.
        push: Takes each small frame, I420 and upright.
        tell: Takes a line for the model to read.
        policy: When pictures go out; if it can change, a function that returns it.
        items: Takes the pictures instead of ``push`` if the policy is ``items`` or ``items_while_speaking``.
    """

    def __init__(
        self,
        vision: Vision,
        *,
        push: Push,
        tell: Tell,
        policy: FramePolicy | Callable[[], FramePolicy] = "stream",
        items: Items | None = None,
    ) -> None:
        self._vision = vision
        self._outlet = Outlet(push, policy, items)
        self._telling = Telling(tell)
        self._feeds: dict[Eye, ViewFeed] = {}
        self._feeding: dict[Eye, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vision-realtime")
        self._speaking = False
        self._closed = False

    @classmethod
    def for_session(cls, vision: Vision, session: llm.RealtimeSession[Any], tell: Tell) -> RealtimeFeed:
        """Make the feed of a session, with the policy for its kind.

        Args:
            vision: The views.
            session: A session of any plugin, or of LiveKit's fallback adapter.
            tell: Takes a line for the model to read.
        """
        return cls(
            vision,
            push=session.push_video,
            tell=tell,
            policy=lambda: policy_of(session),  # in a fallback adapter it may change
            items=PictureItems(session, detail=vision.options.inference_detail),
        )

    def start(self) -> None:
        """Start to send; a second call does nothing."""
        if not self._tasks and not self._closed:
            self._tasks = [
                _lasting(self._follow, name="realtime feed"),
                _lasting(self._telling.run, name="realtime lines"),
            ]

    async def aclose(self) -> None:
        """Stop, and delete the pictures that are items of a conversation; safe to call twice."""
        self._closed = True
        await ended(*self._tasks)
        await ended(*self._feeding.values())
        self._feeding.clear()
        self._feeds.clear()
        self._outlet.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def speech(self, speaking: bool) -> None:
        """Note that the user starts or stops speaking; at the end the picture of that moment goes out."""
        before, self._speaking = self._speaking, speaking
        self._take_up()
        for feed in self._feeds.values():
            if speaking and not before:
                feed.speech_began()
            elif before and not speaking:
                feed.speech_ended()

    def typed(self) -> None:
        """Send each view's newest picture before this returns: the model answers at once."""
        self._take_up()
        for feed in self._feeds.values():
            feed.hand_over_now()

    async def sightings(self) -> list[Sighting]:
        """Return what the model saw last: one sighting for each view, the newest first, in the ledger."""
        found = [await feed.sighting() for feed in list(self._feeds.values())]
        seen = [each for each in found if each is not None]
        return [self._vision.ledger.note(each) for each in sorted(seen, key=_captured_s, reverse=True)]

    async def _follow(self) -> None:
        """Start a feed for each new view, and end it when ``Vision`` drops the view."""
        while True:
            self._take_up()
            for eye in self._feeds.keys() - set(self._vision.eyes):
                del self._feeds[eye]
                await ended(self._feeding.pop(eye))
                self._outlet.withdraw(eye.source.name)
                self._telling.forget(eye.source.name)
                self._name_views()
            has_camera = bool(self._vision.eyes)
            self._telling.say("", "" if has_camera else "no camera", "" if has_camera else lines.NO_CAMERA)
            await asyncio.sleep(CHECK_S)

    def _take_up(self) -> None:
        for eye in self._vision.eyes if self._tasks and not self._closed else ():
            if eye not in self._feeds:
                feed = ViewFeed(
                    eye,
                    options=self._vision.options,
                    outlet=self._outlet,
                    telling=self._telling,
                    executor=self._executor,
                )
                if self._speaking:
                    feed.speech_began()
                self._feeds[eye] = feed
                self._feeding[eye] = _lasting(feed.run, name=f"realtime feed of {eye.source.name}")
                self._name_views()

    def _name_views(self) -> None:
        for feed in self._feeds.values():
            feed.is_named = len(self._feeds) > 1


def _lasting(job: Callable[[], Any], *, name: str) -> asyncio.Task[None]:
    return asyncio.create_task(lasting(job, name=name), name=name)


def _captured_s(sighting: Sighting) -> float:
    return sighting.captured_s or 0.0
