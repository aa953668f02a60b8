"""Subscribers to events in this process: several to a topic, called one after the other by a thread of their own."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Any

import structlog

from resources.agents.security.tokens import Received
from resources.agents.wire.message import URGENCY, Priority

log = structlog.get_logger(__name__)

MOST_WAITING = 10_000
"""Events that wait for slow subscribers; beyond it the least urgent is left out. All of them are in the database."""


@dataclass(frozen=True, slots=True)
class HeardEvent:
    """An event as a subscriber gets it: signed, allowed, not seen before, in time, and stored."""

    topic: str
    payload: Any
    source_agent: str
    role: str
    priority: Priority
    message_id: str
    correlation_id: str | None
    sent_at: datetime
    deadline: datetime


Callback = Callable[[HeardEvent], None]
"""A subscriber; it may take its time, and what it raises is logged."""


def event_of(received: Received) -> HeardEvent:
    """Return the event that a received message is."""
    message = received.message
    assert message.topic is not None, "no event: the judge lets none without a topic pass"
    return HeardEvent(
        message.topic,
        message.payload,
        message.source_agent,
        received.role,
        message.priority,
        message.message_id,
        message.correlation_id,
        message.sent_at,
        message.deadline,
    )


class EventListeners:
    """Hands events to the subscribers of their topic, critical ones first; safe from any thread."""

    def __init__(self) -> None:
        """Begin without subscribers; the thread starts with the first."""
        self._changed = threading.Condition()
        self._callbacks: dict[str, list[Callback]] = {}
        self._waiting: list[tuple[int, int, HeardEvent]] = []
        self._numbers = itertools.count()
        self._left_out: Counter[str] = Counter()
        self._closing = False
        self._thread: threading.Thread | None = None

    def subscribe(self, topic: str, callback: Callback) -> Callable[[], None]:
        """Have `callback` called with each event of `topic` from now on; return what ends that."""
        with self._changed:
            self._callbacks.setdefault(topic, []).append(callback)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="agents-events", daemon=True)
                self._thread.start()

        def unsubscribe() -> None:
            with self._changed:
                if callback in self._callbacks.get(topic, []):
                    self._callbacks[topic].remove(callback)

        return unsubscribe

    def tell(self, event: HeardEvent) -> None:
        """Have an event handed to its subscribers soon."""
        with self._changed:
            if not self._callbacks.get(event.topic):
                return
            heappush(self._waiting, (URGENCY[event.priority], next(self._numbers), event))
            if len(self._waiting) > MOST_WAITING:
                self._leave_out()
            self._changed.notify()

    def left_out(self) -> dict[str, int]:
        """Return topic -> how many events no subscriber was told of, because they were too slow."""
        with self._changed:
            return dict(self._left_out)

    def close(self, timeout_s: float = 5.0) -> None:
        """Hand over what waits, as far as the time allows, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _leave_out(self) -> None:
        last = max(range(len(self._waiting)), key=lambda index: self._waiting[index][:2])
        event = self._waiting.pop(last)[2]
        heapify(self._waiting)
        self._left_out[event.topic] += 1
        # once: a subscriber that is too slow for one event is so for the next thousand
        say = log.error if self._left_out.total() == 1 else log.debug
        say("event_subscribers_too_slow", topic=event.topic, left_out=self._left_out[event.topic])

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                event = heappop(self._waiting)[2]
                callbacks = list(self._callbacks.get(event.topic, ()))
            for callback in callbacks:
                try:
                    callback(event)
                except Exception:
                    # the subscriber is foreign code: whatever it raises must not cost the others their events
                    log.exception("event_subscriber_failed", topic=event.topic, message_id=event.message_id)
