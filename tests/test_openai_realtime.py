"""OpenAI Realtime's real client: each picture is an item of the conversation, and few of them stay."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.genai import types
from livekit import rtc
from livekit.agents import AgentSession, llm, vad
from livekit.agents.voice.run_result import RunResult
from livekit.plugins import google, openai

from vision_agent import Vision, VisionAgent, VisionOptions
from vision_agent.realtime import FramePolicy, RealtimeFeed, policy_of
from vision_agent.sources.testcard import TestcardSource, code_at
from vision_agent.testing.scripted import ScriptedVAD, SilentInput
from vision_agent.testing.server import LocalServer

from .cards import CardSource
from .openai_realtime import OpenAIRealtimeServer, codes_in, picture_of, texts_of
from .rooms import codes, joined, publishing
from .waiting import until

SERVER_VAD = openai.realtime.realtime_model._impl.to_turn_detection  # replaced below


@pytest.fixture(params=[True, False], ids=["echoed", "not echoed"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[OpenAIRealtimeServer]:
    """Run with a server that sends pictures back when it confirms them, and with one that does not."""
    async with OpenAIRealtimeServer(echoes=request.param) as server:
        yield server
