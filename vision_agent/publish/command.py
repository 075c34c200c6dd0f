"""``vision-agent publish``: publishes until a signal asks to stop, and reports its state."""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from ..config import Config, Supervisor
from ..signals import stop_signals
from ..sources.cameras import TO_PUBLISH
from ..sources.uri import build
from .access import Access
from .health import HealthServer, Rates, health_line
from .publisher import Publisher, PublishState
from .sd_notify import Notifier

BEAT_S = 1.0
"""How often we check whether pictures are being sent, in seconds."""
EXIT_WAIT_S = 0.2


async def run_publish(
    config: Config,
    uri: str,
    access: Access,
    *,
    encode: bool = False,
    supervisor: Supervisor,
    say: Callable[[str], None],
) -> None:
    """Publish a source until a signal asks to stop, or a recording has ended.

    Args:
        config: Section ``publish`` is used.
        uri: The source.
        access: The way into the room.
        encode: Let the SDK encode even a stream that could pass through.
        supervisor: systemd's settings for this process.
        say: Called with each line about the state.

    Raises:
        ConfigError: The source or an option can't be used.
        SourceError: The source gave nothing at the start.
        ServerError: The room can't be joined at the start, or the server refuses us.
    """
    # runs after the SDK's own exit handler: if one of its threads calls into Python while Python ends,
    # the process would abort
    atexit.register(threading.Event().wait, EXIT_WAIT_S)
    options = config.publish
    source = build(uri, preferred=TO_PUBLISH)
    notifier = Notifier(supervisor.socket)
    teller = _Teller(notifier, say)
    publisher = Publisher(source, access, name=options.name, encode=encode, on_change=teller.changed)
    teller.publisher = publisher
    async with AsyncExitStack() as opened:
        opened.callback(notifier.close)
        asked = opened.enter_context(stop_signals())
        if options.metrics_port >= 0:
            served = HealthServer(publisher, host=options.metrics_host, port=options.metrics_port)
            say(f"metrics and health at {(await opened.enter_async_context(served)).url}")
        running = asyncio.create_task(publisher.run(), name="publish")
        beating = asyncio.create_task(
            teller.beat(every_s=options.report_s, watchdog_s=supervisor.watchdog_s), name="publish: beat"
        )
        stop = asyncio.create_task(asked.get(), name="publish: signal")
        try:
            await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED)
            notifier.stopping()
        finally:
            for task in (stop, beating):
                task.cancel()
            if not running.done():
                running.cancel()
            results = await asyncio.gather(running, stop, beating, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise results[0]
    say("stopped" if not stop.cancelled() else "the recording has ended")


class _Teller:
    """Reports each change immediately, and the state at intervals."""

    def __init__(self, notifier: Notifier, say: Callable[[str], None]) -> None:
        self.publisher: Publisher | None = None
        self._notifier, self._say = notifier, say
        self._rates = Rates()
        self._ready = False
        self._last: PublishState | None = None
        self._why_told = False

    def changed(self, state: PublishState) -> None:
        """Report what has changed."""
        assert self.publisher is not None
        why = self.publisher.why_encoded
        if why is not None and state.route == "encoded" and not self._why_told:
            self._why_told = True
            self._say(f"{state.source} can't pass through: {why}; it is decoded and encoded")
        before, self._last = self._last, state
        if state.problem is not None:
            if before is None or before.problem != state.problem:
                self._say(f"{state.source}: {state.problem}")
        elif state.published and (before is None or before.problem or not before.published):
            how = "passes through" if state.route == "passthrough" else "is encoded here"
            self._say(f"{state.source} {how}, in room {state.room} as {state.identity}")
        if state.published and not self._ready:
            self._ready = True
            self._notifier.ready(f"publishing to {state.room}")

    async def beat(self, *, every_s: float, watchdog_s: float | None) -> None:
        """Report the state every ``every_s``; feed the watchdog only while ``PublishState.flows``."""
        assert self.publisher is not None
        interval_s = BEAT_S if watchdog_s is None else min(BEAT_S, watchdog_s / 3)
        due_s = time.monotonic() + every_s
        while True:
            state, now_s = self.publisher.state, time.monotonic()
            if state.flows:
                self._notifier.alive()
            if now_s >= due_s:
                due_s = now_s + every_s
                self._rates.note(state.counts, now_s)
                line = health_line(state, self._rates)
                self._say(line)
                self._notifier.status(line)
            await asyncio.sleep(interval_s)
