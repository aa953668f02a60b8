"""What a bus has to send: the most urgent first, no more of it at the broker at once than the broker allows.

paho has a queue of its own, first come first served, behind its limit of messages in flight; a critical command would
wait there behind every low one. So paho is given only what it can send at once, and the rest waits here.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from resources.agents.mqtt.pace import Pace
from resources.agents.wire.message import URGENCY, Priority


def nothing() -> None:
    """Do nothing: the callback of whoever wants to hear nothing."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Publication:
    """One packet of QoS 1."""

    topic: str
    payload: bytes
    priority: Priority = "normal"
    on_sent: Callable[[], None] = nothing
    """Called when the broker has taken it over."""
    on_refused: Callable[[], None] = nothing
    """Called each time the broker answered that it does not take it (MQTT 5 alone can say so)."""
    renew: Callable[[], bytes | None] | None = None
    """Asked, some time after a refusal, for the payload to try again with: None if nobody wants it any more. Without it
    a refused packet is over. It must not block."""
    refusals: int = 0
    """How often the broker has refused it so far."""
    wanted: Callable[[], bool] = _always
    """Asked just before it goes; false: it is dropped without a word. It must not block."""


class Outgoing:
    """The publications of one bus: waiting here, or in flight. Safe from any thread; `next` is for one alone."""

    def __init__(self, pace: Pace, *, in_flight: int) -> None:
        """Begin empty; at most `in_flight` packets are at the broker without its acknowledgement."""
        self._pace = pace
        self.most_in_flight = in_flight
        self._lock = Lock()
        self._numbers = itertools.count()
        self._waiting: list[tuple[int, int, Publication]] = []
        self._in_flight: dict[int, Publication] = {}

    def __len__(self) -> int:
        """How many wait or are in flight."""
        with self._lock:
            return len(self._waiting) + len(self._in_flight)

    def add(self, publication: Publication) -> None:
        """Have a publication wait for its turn: behind all of its priority, before any of a lower one."""
        with self._lock:
            self._put(publication)

    def next(self, now: float) -> tuple[Publication | None, float | None]:
        """Return what is to be sent now; if nothing, after how many seconds to ask again (None: after a change)."""
        while True:
            with self._lock:
                if not self._waiting or len(self._in_flight) >= self.most_in_flight:
                    return None, None
                entry = heapq.heappop(self._waiting)
            publication = entry[2]
            # asked outside of the lock: whoever answers has locks of its own
            if not publication.wanted():
                continue
            wait_s = self._pace.take(now)
            if not wait_s:
                return publication, None
            with self._lock:
                heapq.heappush(self._waiting, entry)
            return None, wait_s

    def flies(self, packet_id: int, publication: Publication) -> None:
        """Note that a publication is on its way under a packet id."""
        with self._lock:
            self._in_flight[packet_id] = publication

    def landed(self, packet_id: int) -> Publication | None:
        """Return, and forget, the publication of a packet id that the broker has answered."""
        with self._lock:
            return self._in_flight.pop(packet_id, None)

    def call_back(self) -> None:
        """Have what is in flight wait again: the client that sent it is gone."""
        with self._lock:
            back, self._in_flight = self._in_flight, {}
            for publication in back.values():
                self._put(publication)

    def _put(self, publication: Publication) -> None:
        rank = URGENCY[publication.priority]
        heapq.heappush(self._waiting, (rank, next(self._numbers), publication))
