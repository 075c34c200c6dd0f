"""``Ledger``: the bounded record of what was seen and of the requests that contained it."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..errors import check_range
from .sighting import Sighting
from .statistics import LedgerStatistics

MAX_BYTES = 32_000_000
MAX_SIGHTINGS = 512
MAX_REQUESTS = 256


def new_request_id() -> str:
    """Return an id that no other request has."""
    return f"request_{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request to a model, and what it contained."""

    id: str = field(default_factory=new_request_id)
    """Unique."""
    turn: int
    """Number of the turn it belongs to, counted from 1."""
    detail: str
    """``inference_detail`` of its pictures: low, high or auto."""
    answers: str
    """Id of the user message it answers; empty if nobody asked and the agent speaks by itself."""
    asked_by: str
    """Identity of the person who asked, or empty."""
    current: tuple[str, ...]
    """Ids of its own sightings: the views of its moment, pictures that were sent or added for it, and reasons
    why there is no picture."""
    earlier: tuple[str, ...]
    """Ids of older sightings whose pictures it also contains; the newest first."""
    numbered: tuple[str, ...] = ()
    """Ids of the sightings in the turn's message, in the order of the numbers in their lines."""
    asked_s: float
    """When it was made, in seconds of ``time.monotonic()``."""


class Ledger:
    """Keeps sightings by id, and what each request contained; it releases the oldest pictures first.

    If the ledger releases a picture, the next request also removes it from the messages that refer to
    it. Pictures given at the start go last. Not thread-safe: use it on the event loop.

    Args:
        max_bytes: Most bytes of pictures held.
        max_sightings: Most sightings remembered, with or without a picture.

    Raises:
        ConfigError: A limit is out of range.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES, max_sightings: int = MAX_SIGHTINGS) -> None:
        check_range("max_bytes", max_bytes, 100_000, 10_000_000_000, "bytes")
        check_range("max_sightings", max_sightings, 16, 100_000, "sightings")
        self.max_bytes = max_bytes
        self._max_sightings = max_sightings
        self._sightings: OrderedDict[str, Sighting] = OrderedDict()
        self._requests: OrderedDict[str, RequestRecord] = OrderedDict()
        self._calls: OrderedDict[str, str] = OrderedDict()  # request ids by the ids of tool calls
        self._held_bytes = 0
        self._noted = self._noted_requests = self._released = 0

    def note(self, sighting: Sighting) -> Sighting:
        """Keep a sighting; noting it again changes nothing."""
        if sighting.id not in self._sightings:
            self._noted += 1
            self._sightings[sighting.id] = sighting
            self._held_bytes += _bytes(sighting)
            self._keep_within()
        return sighting

    def get(self, sighting_id: str) -> Sighting | None:
        """Return a sighting, without its picture if that was released; None if the ledger forgot it."""
        return self._sightings.get(sighting_id)

    def release(self, sighting_ids: Iterable[str]) -> None:
        """Release pictures that no message needs any more; the sightings stay."""
        for sighting_id in sighting_ids:
            self._release(sighting_id)

    def note_request(self, request: RequestRecord) -> RequestRecord:
        """Keep a request."""
        self._noted_requests += 1
        self._requests[request.id] = request
        while len(self._requests) > MAX_REQUESTS:
            self._requests.popitem(last=False)
        return request

    def note_call(self, call_id: str, request_id: str) -> None:
        """Remember which request made a tool call."""
        self._calls[call_id] = request_id
        self._calls.move_to_end(call_id)
        while len(self._calls) > MAX_REQUESTS:
            self._calls.popitem(last=False)

    def request(self, request_id: str) -> RequestRecord | None:
        """Return a request by its id, or None if the ledger forgot it."""
        return self._requests.get(request_id)

    def request_of_call(self, call_id: str) -> RequestRecord | None:
        """Return the request that made a tool call, or None if it is not known."""
        return self._requests.get(self._calls.get(call_id, ""))

    @property
    def requests(self) -> Sequence[RequestRecord]:
        """The requests remembered, the oldest first."""
        return tuple(self._requests.values())

    @property
    def sightings(self) -> Sequence[Sighting]:
        """The sightings remembered, the oldest first."""
        return tuple(self._sightings.values())

    def statistics(self) -> LedgerStatistics:
        """Return the current counts."""
        return LedgerStatistics(
            sightings=self._noted,
            requests=self._noted_requests,
            held_pictures=sum(each.image is not None for each in self._sightings.values()),
            held_bytes=self._held_bytes,
            released_pictures=self._released,
        )

    def _keep_within(self) -> None:
        if self._held_bytes > self.max_bytes:
            # every request needs the pictures given at the start: they go last
            order = sorted(self._sightings.values(), key=lambda each: each.purpose == "initial")  # stable
            for each in order:
                if self._held_bytes <= self.max_bytes:
                    break
                self._release(each.id)
        while len(self._sightings) > self._max_sightings:
            oldest = next((key for key, s in self._sightings.items() if s.purpose != "initial"), None)
            forgotten = self._sightings.pop(oldest or next(iter(self._sightings)))
            self._held_bytes -= _bytes(forgotten)
            self._released += forgotten.image is not None

    def _release(self, sighting_id: str) -> None:
        sighting = self._sightings.get(sighting_id)
        if sighting is not None and sighting.image is not None:
            self._held_bytes -= _bytes(sighting)
            self._released += 1
            self._sightings[sighting_id] = replace(sighting, image=None)


def _bytes(sighting: Sighting) -> int:
    return 0 if sighting.image is None else len(sighting.image.data)
