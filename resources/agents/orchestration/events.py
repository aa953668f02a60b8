"""The platform's inbox for events: refused, known already, or stored and then told to the subscribers here.

An event is told once it is durable, so a crash in between costs this process's subscribers that event, but never the
table. Whoever must not miss one reads `agents.messages` and hears of new rows by NOTIFY on EVENT_CHANNEL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resources.agents.event_topics import EventTopics
from resources.agents.mqtt.bus import Arrived
from resources.agents.orchestration.event_listeners import EventListeners, event_of
from resources.agents.record.recorder import Recorder
from resources.agents.record.seen_ids import SeenIds
from resources.agents.security.judge import Verdict
from resources.agents.security.tokens import Received
from resources.agents.wire.message import Message, Priority
from resources.agents.wire.refusals import refused


@dataclass(frozen=True, slots=True)
class EventRequest:
    """An event that the platform is to publish."""

    topic: str
    payload: Any
    timeout_s: float
    priority: Priority = "normal"
    correlation_id: str | None = None
    message_id: str | None = None
    """Given by whoever may repeat it: subscribers take the same id once."""


@dataclass(frozen=True, slots=True)
class Published:
    """What became of an event that the platform published."""

    message: Message
    repeated: bool
    """True if this id had been accepted before: nothing new was sent."""
    status: str
    """accepted: not at the broker yet; done: the broker has it; expired: no broker took it in time; cancelled."""


class Events:
    """Takes the events that arrive; the topic of the wire was judged before."""

    def __init__(self, topics: EventTopics, seen: SeenIds, recorder: Recorder, listeners: EventListeners) -> None:
        """Store through `recorder`, then tell `listeners`."""
        self._topics = topics
        self._seen = seen
        self._recorder = recorder
        self._listeners = listeners

    def take(self, received: Received, arrived: Arrived) -> None:
        """Store an event and tell it; acknowledge it once it is durable.

        Raises:
            RefusedError: Its topic is unknown, its payload does not fit, it is forged or expired.
        """
        message = received.message
        self._topics.refuse_received(message)
        verdict = self._seen.verdict(received)
        if verdict is Verdict.REPEATED:
            self._recorder.barrier(arrived.ack)
            return
        if verdict is Verdict.EXPIRED:
            raise refused("expired", "the event came after its expiry", message)
        event = event_of(received)
        after = (arrived.ack, lambda: self._listeners.tell(event))
        self._recorder.event(message, self._seen.keep(received), after=after)
