"""The topics of a site's events, and what their payloads must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema.protocols import Validator

from resources.agents.config import EVENT_TOPICS, TopicConfig
from resources.agents.wire.message import Message
from resources.agents.wire.refusals import refused
from resources.agents.wire.schemas import schema_fault, validator_of
from resources.core.errors import DataError


class EventTopics:
    """Which topics there are; safe from any thread."""

    def __init__(self, configured: Mapping[str, TopicConfig]) -> None:
        """Have the four topics of every site, and the configured ones."""
        self._validators: dict[str, Validator | None] = dict.fromkeys(EVENT_TOPICS)
        for name, topic in configured.items():
            self._validators[name] = None if topic.payload_schema is None else validator_of(topic.payload_schema)

    def __iter__(self) -> Any:
        """Yield the names of the topics."""
        return iter(self._validators)

    def fault(self, topic: str | None, payload: Any) -> tuple[str, str] | None:
        """Return why an event can't be one of this site: a word to count by, and a sentence; None if it can."""
        if topic not in self._validators:
            return "unknown_topic", f"no topic {topic}; there are {', '.join(sorted(self._validators))}"
        validator = self._validators[topic]
        found = None if validator is None else schema_fault(validator, payload)
        return None if found is None else ("unfit_payload", f"the payload does not fit topic {topic}: {found}")

    def refuse_received(self, message: Message) -> None:
        """Refuse an event that came, if it is none of this site.

        Raises:
            RefusedError: Unknown topic, or a payload that does not fit the topic's schema.
        """
        fault = self.fault(message.topic, message.payload)
        if fault is not None:
            raise refused(*fault, message)

    def refuse_sending(self, message: Message) -> None:
        """Refuse to send an event that is none of this site.

        Raises:
            DataError: Unknown topic, or a payload that does not fit the topic's schema.
        """
        fault = self.fault(message.topic, message.payload)
        if fault is not None:
            raise DataError(f"event {message.message_id}: {fault[1]}; agents.topics declares topics and their schemas")
