"""Configuration of an MQTT source."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from resources.core.settings import Duration, StrictModel, TagConfig
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


class MqttConfig(StrictModel):
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
    tags: tuple[MqttTag, ...] = Field(min_length=1)
    """The values; several tags may share a topic."""
