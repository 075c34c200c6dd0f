"""Scripted speech without sound for a real AgentSession: VAD, STT, TTS, audio input and output.

It needs only livekit-agents, because scripts in other environments load it, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, stt, tts, vad
from livekit.agents.language import LanguageCode
from livekit.agents.types import NotGivenOr
from livekit.agents.utils import AudioBuffer
from livekit.agents.voice import io


class SilentInput(io.AudioInput):
    """Yields 20 ms of silence every 20 ms."""

    def __init__(self) -> None:
        super().__init__(label="silence")

    def __aiter__(self) -> AsyncIterator[rtc.AudioFrame]:
        """Return itself."""
        return self

    async def __anext__(self) -> rtc.AudioFrame:
        """Wait 20 ms and return as much silence."""
        await asyncio.sleep(0.02)
        return rtc.AudioFrame(bytes(320 * 2), 16000, 1, 320)


class ScriptedVAD(vad.VAD):
    """Detects the start and the end of speech when the script says so."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.02))
        self.script: asyncio.Queue[vad.VADEventType] = asyncio.Queue()

    def stream(self) -> vad.VADStream:
        """Return a stream that follows the script."""
        return _VADStream(self)


class _VADStream(vad.VADStream):
    async def _main_task(self) -> None:
        assert isinstance(self._vad, ScriptedVAD)
        while True:
            kind = await self._vad.script.get()
            speaking = kind == vad.VADEventType.START_OF_SPEECH
            self._event_ch.send_nowait(
                vad.VADEvent(
                    type=kind,
                    samples_index=0,
                    timestamp=time.time(),
                    speech_duration=0.3 if speaking else 1.0,
                    silence_duration=0.0 if speaking else 0.1,
                    speaking=speaking,
                )
            )


class ScriptedSTT(stt.STT[Any]):
    """Returns the transcripts of the script."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.script: asyncio.Queue[stt.SpeechEvent] = asyncio.Queue()

    async def _recognize_impl(self, buffer: AudioBuffer, **kwargs: Any) -> stt.SpeechEvent:
        raise NotImplementedError("use stream()")

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        """Return a stream that follows the script."""
        return _STTStream(stt=self, conn_options=conn_options)


class _STTStream(stt.RecognizeStream):
    async def _run(self) -> None:
        assert isinstance(self._stt, ScriptedSTT)
        while True:
            self._event_ch.send_nowait(await self._stt.script.get())


class Ears:
    """Speaks a sentence to a session: the events are those of a person with default settings."""

    def __init__(self) -> None:
        self.vad, self.stt = ScriptedVAD(), ScriptedSTT()

    async def say(self, sentence: str, *, speaking_s: float = 0.3) -> None:
        """Start of speech, transcript (preflight, then final), end of speech."""
        self.vad.script.put_nowait(vad.VADEventType.START_OF_SPEECH)
        await asyncio.sleep(speaking_s)
        for kind in (stt.SpeechEventType.PREFLIGHT_TRANSCRIPT, stt.SpeechEventType.FINAL_TRANSCRIPT):
            data = stt.SpeechData(language=LanguageCode("en"), text=sentence, confidence=1.0)
            self.stt.script.put_nowait(stt.SpeechEvent(type=kind, alternatives=[data]))
            await asyncio.sleep(0.05)
        self.vad.script.put_nowait(vad.VADEventType.END_OF_SPEECH)


class SilentTTS(tts.TTS[Any]):
    """Speaks each sentence as 20 ms of silence per word, and keeps the sentences."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=16000, num_channels=1)
        self.said: list[str] = []

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Record the text, and return its silence."""
        self.said.append(text)
        return _SilentStream(tts=self, input_text=text, conn_options=conn_options)


class _SilentStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id="silence", sample_rate=16000, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(bytes(320 * 2 * max(1, len(self.input_text.split()))))


class SilentOutput(io.AudioOutput):
    """Plays everything at once, and reports how long it was."""

    def __init__(self) -> None:
        super().__init__(
            label="silence", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=16000
        )
        self.played_s = 0.0
        self._pending_s = 0.0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a frame to play."""
        await super().capture_frame(frame)
        if not self._pending_s:
            self.on_playback_started(created_at=time.time())
        self._pending_s += frame.duration

    def flush(self) -> None:
        """Finish the frames so far."""
        super().flush()
        self._finish(interrupted=False)

    def clear_buffer(self) -> None:
        """Stop playing."""
        self._finish(interrupted=True)

    def _finish(self, *, interrupted: bool) -> None:
        pending_s, self._pending_s = self._pending_s, 0.0
        if pending_s:
            self.played_s += pending_s
            self.on_playback_finished(playback_position=pending_s, interrupted=interrupted)
