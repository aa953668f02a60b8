"""Configuration of an MQTT source."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from resources.core.settings import Duration, TagConfig
from resources.scada.config import SourceOptions
from resources.transport.broker import BrokerConfig


class MqttTag(TagConfig):
    """One value in the payloads of a topic."""

    topic: str = Field(min_length=1)
    """The topic the value comes on, exact (no wildcard)."""
    value_path: str = "value"
    """Dotted path of the value in a JSON payload; empty: the payload itself is the number."""
    time_path: str | None = "time"
    """Dotted path of the source time (RFC 3339 text, or epoch milliseconds as a number); None: the receive time."""
    status_path: str | None = "status"
    """Dotted path of good, uncertain or bad; good if absent in the payload."""
    unit_path: str | None = None
    """Dotted path of the value's unit (UCUM code) where payloads state it; it is converted to `unit`, or the value is
    rejected where it does not fit. None: payloads are in `unit` already."""


class MqttConfig(SourceOptions):
    """One broker and the topics subscribed there, with a persistent session."""

    kind: Literal["mqtt"]
    broker: BrokerConfig
    """Where."""
    client_id: str = Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")
    """Client id of the persistent session: unique at the broker, the same after every restart."""
    topic_filters: tuple[str, ...] = Field(min_length=1)
    """What is subscribed; a payload on a topic that no tag names is rejected with that reason."""
    qos: Literal[0, 1, 2] = 1
    """Quality of service asked for."""
    session_expiry: Duration = timedelta(days=7)
    """How long the broker keeps messages while the collector is away (MQTT 5)."""
    receive_maximum: int = Field(65_535, ge=1, le=65_535)
    """Messages the broker may send before the first is acknowledged (MQTT 5; a 3.1.1 broker has its own limit)."""
    tags: tuple[MqttTag, ...] = Field(min_length=1)
    """The values; several tags may share a topic."""

    @model_validator(mode="after")
    def _topics_are_exact(self) -> Self:
        for tag in self.tags:
            if "+" in tag.topic or "#" in tag.topic:
                raise ValueError(
                    f"tag {tag.sensor_id}: topic {tag.topic} holds a wildcard: write the one topic its values come on"
                )
        return self
