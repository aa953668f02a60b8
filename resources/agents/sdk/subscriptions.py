"""The events an agent listens to: any number of handlers for a topic, each event handed to them once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from jsonschema.protocols import Validator

from resources.agents.sdk.offers import schema_validator
from resources.agents.security.tokens import Received
from resources.agents.wire.message import AGENT_ID_PATTERN
from resources.agents.wire.refusals import refused
from resources.agents.wire.schemas import schema_fault
from resources.core.errors import ConfigError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """What a handler may want to know beside the event's payload."""

    message_id: str
    topic: str
    sender: str
    role: str
    priority: str
    sent_at: datetime
    deadline: datetime


EventHandler = Callable[[Any, Event], object]
"""An event's handler: payload and circumstances in; nothing is answered."""


@dataclass(frozen=True, slots=True)
class _Subscriber:
    handler: EventHandler
    validator: Validator | None


class Subscriptions:
    """The event handlers of one agent."""

    def __init__(self, agent_id: str) -> None:
        """Begin with none."""
        self._agent_id = agent_id
        self._subscribers: dict[str, list[_Subscriber]] = {}

    @property
    def topics(self) -> list[str]:
        """The topics listened to."""
        return list(self._subscribers)

    def declare(self, topic: str, schema: dict[str, Any] | None) -> Callable[[EventHandler], EventHandler]:
        """Return the decorator that subscribes a handler to a topic.

        Raises:
            ConfigError: The schema is not a JSON Schema, or the topic is no topic of events.
        """
        where = f"agent {self._agent_id}: event {topic}"
        if not re.fullmatch(AGENT_ID_PATTERN, topic):
            raise ConfigError(f"{where}: a topic has 1 to 64 letters, digits, _, . or -; wildcards are not taken")
        validator = None if schema is None else schema_validator(schema, where)

        def declare(handler: EventHandler) -> EventHandler:
            self._subscribers.setdefault(topic, []).append(_Subscriber(handler, validator))
            return handler

        return declare

    def refuse_unfit(self, received: Received) -> None:
        """Check that somebody here listens to an event and that its payload fits at least one of them.

        Raises:
            RefusedError: Nobody does, or it fits none.
        """
        message = received.message
        subscribers = self._subscribers.get(message.topic or "", [])
        if not subscribers:
            # the broker keeps the subscriptions of a session: a topic that is listened to no longer still arrives
            raise refused("not_subscribed", "nobody here listens to this topic", message)
        if not any(_fits(subscriber, message.payload) for subscriber in subscribers):
            raise refused("malformed", "the event's payload does not fit its schema", message)

    def run(self, received: Received) -> None:
        """Hand an event to everyone who listens to it and whose schema it fits."""
        message = received.message
        event = Event(
            message.message_id,
            message.topic or "",
            message.source_agent,
            received.role,
            message.priority,
            message.sent_at,
            message.deadline,
        )
        for subscriber in self._subscribers.get(event.topic, []):
            if not _fits(subscriber, message.payload):
                continue
            try:
                subscriber.handler(message.payload, event)
            except Exception:
                # the handler is the embedding program's code; the others still have to hear of the event
                log.exception(
                    "event_handler_failed", agent=self._agent_id, topic=event.topic, message_id=event.message_id
                )


def _fits(subscriber: _Subscriber, payload: Any) -> bool:
    return subscriber.validator is None or schema_fault(subscriber.validator, payload) is None
