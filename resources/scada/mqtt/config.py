"""Configuration of an MQTT source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from resources.core.configuration.settings import Duration, StrictModel, TagConfig
from resources.scada.config import SourceOptions
from resources.scada.mqtt.sparkplug.config import SparkplugAddress, SparkplugConfig
from resources.scada.mqtt.templates import TagTemplate, expanded
from resources.transport.broker import BrokerConfig

_SHARED = re.compile(r"^\$share/[^/+#]+/.+$")


class MqttTag(TagConfig):
    """One value in the payloads of a topic."""

    topic: str = Field("", max_length=65_535)
    """The topic the value comes on, exact (no wildcard); none in a Sparkplug source."""
    payload: Literal["json", "csv"] | None = None
    """Form of the topic's payloads; that of the source if absent."""
    value_path: str = "value"
    """Dotted path of the value in a JSON payload (lists by index: `values.0.v`), or the number of its column in a CSV
    line (the first is 0); empty: the payload itself is the value."""
    time_path: str | None = "time"
    """Path or column of the source time (RFC 3339 text, or epoch milliseconds as a number); None: the receive time."""
    status_path: str | None = "status"
    """Path or column of good, uncertain or bad; good if absent in the payload."""
    unit_path: str | None = None
    """Path or column of the value's unit (UCUM code) where payloads state it; it is converted to `unit`, or the value
    is rejected where it does not fit. None: payloads are in `unit` already."""
    sparkplug: SparkplugAddress | None = None
    """The metric of a Sparkplug source, as `group/edge_node/device/metric` or part by part."""
    command_topic: str | None = Field(None, min_length=1, max_length=65_535)
    """The topic that takes values for this tag (`gl write`); read-only if absent."""
    command_payload: str = '{"value": {value}}'
    """What is published there: `{value}`, `{time}` (RFC 3339, now), `{unit}` and `{sensor_id}` are replaced by JSON."""
    command_retain: bool = False
    """True lets the broker keep the last command for a device that comes later."""

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if bool(self.topic) == bool(self.sparkplug):
            raise ValueError(f"tag {self.sensor_id}: name its topic, or in a Sparkplug source its metric (sparkplug)")
        if "{value}" not in self.command_payload:
            raise ValueError(f"tag {self.sensor_id}: command_payload has no {{value}}: nothing would be commanded")
        for topic in (self.topic, self.command_topic or ""):
            if "+" in topic or "#" in topic:
                raise ValueError(
                    f"tag {self.sensor_id}: topic {topic} holds a wildcard: write the one topic its values come on; "
                    "tag_templates makes many tags at once"
                )
        return self


class TopicFilter(StrictModel):
    """What is subscribed, and how."""

    filter: str = Field(min_length=1, max_length=65_535)
    """Topic filter; `$share/GROUP/FILTER` shares its messages among all clients of the group."""
    qos: Literal[0, 1, 2] | None = None
    """Quality of service asked for; that of the source if absent."""
    retained: Literal["always", "when_new", "never"] = "always"
    """When the broker sends its retained messages (MQTT 5): at every connection, if the session is new, or never."""
    retain_as_published: bool = False
    """True keeps the retain flag on live messages (MQTT 5): those published with it then count as retained, too."""

    @model_validator(mode="after")
    def _is_a_filter(self) -> Self:
        levels = self.filter.split("/")
        if self.filter.startswith("$share") and not _SHARED.match(self.filter):
            raise ValueError(f"topic filter {self.filter}: a shared subscription is $share/GROUP/FILTER")
        if any(("#" in level or "+" in level) and len(level) > 1 for level in levels) or "#" in levels[:-1]:
            raise ValueError(
                f"topic filter {self.filter}: + stands for a whole level, # for all that follow, at the end"
            )
        return self


def _named(value: object) -> object:
    return {"filter": value} if isinstance(value, str) else value


class StatusTopic(StrictModel):
    """Where the collector says that it is there; the broker says for it that it is gone (last will)."""

    topic: str = Field(min_length=1, max_length=65_535, pattern=r"^[^+#]+$")
    """Topic, retained; for each collector one of its own."""
    online: str = "online"
    """Payload once the subscriptions are granted."""
    offline: str = "offline"
    """Payload when the collector leaves or vanishes."""
    qos: Literal[0, 1, 2] = 1
    """Quality of service of both."""


class MqttConfig(SourceOptions):
    """One broker and the topics subscribed there, with a persistent session."""

    kind: Literal["mqtt"]
    broker: BrokerConfig
    """Where."""
    client_id: str = Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")
    """Client id of the persistent session: unique at the broker, the same after every restart."""
    topic_filters: tuple[Annotated[TopicFilter, BeforeValidator(_named)], ...] = ()
    """What is subscribed, each a topic filter or a mapping with its own options; a payload on a topic that no tag
    names is rejected with that reason. A Sparkplug source knows its own."""
    qos: Literal[0, 1, 2] = 1
    """Quality of service asked for."""
    payload: Literal["json", "csv", "sparkplug_b"] = "json"
    """Form of the payloads: `json` (by path, or a bare number or text), `csv` (one line, by column), `sparkplug_b`."""
    sparkplug: SparkplugConfig | None = None
    """The collector as a Sparkplug host application, with payload: sparkplug_b."""
    csv_delimiter: str = Field(",", min_length=1, max_length=1)
    """What separates the columns of a CSV line; a column may be quoted by `"`."""
    status_topic: StatusTopic | None = None
    """Where the collector says online and offline; nowhere if absent."""
    session_expiry: Duration = timedelta(days=7)
    """How long the broker keeps messages while the collector is away (MQTT 5)."""
    receive_maximum: int = Field(65_535, ge=1, le=65_535)
    """Messages the broker may send before the first is acknowledged (MQTT 5; a 3.1.1 broker has its own limit)."""
    tag_templates: tuple[TagTemplate, ...] = ()
    """Many tags of the same make at once; they become `tags` when the file is read."""
    tags: tuple[MqttTag, ...] = ()
    """The values; several tags may share a topic."""

    @property
    def is_kept_by_the_broker(self) -> bool:
        """Whether the broker keeps everything that is not acknowledged: nothing is then lost while we do not read."""
        # edge nodes of Sparkplug B publish their data with QoS 0
        return self.payload != "sparkplug_b" and all(
            self.qos if wanted.qos is None else wanted.qos for wanted in self.topic_filters
        )

    @model_validator(mode="before")
    @classmethod
    def _templates_become_tags(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not values.get("tag_templates"):
            return values
        return {**values, "tags": [*values.get("tags", ()), *expanded(values["tag_templates"])], "tag_templates": ()}

    @model_validator(mode="after")
    def _tags_fit_the_payload(self) -> Self:
        sparkplug = self.payload == "sparkplug_b"
        if sparkplug != bool(self.sparkplug):
            raise ValueError("payload: sparkplug_b and the block sparkplug, with our host_id, go together")
        if sparkplug and (self.topic_filters or self.status_topic):
            raise ValueError(
                "topic_filters and status_topic are not for payload: sparkplug_b, which subscribes what its tags need "
                "and has a STATE of its own: leave them out"
            )
        if not sparkplug and not self.topic_filters:
            raise ValueError("topic_filters: name at least one, nothing would be subscribed")
        for tag in self.tags:
            if sparkplug != bool(tag.sparkplug):
                raise ValueError(
                    f"tag {tag.sensor_id}: payload: sparkplug_b in the source and sparkplug in its tags go together"
                )
            if (tag.payload or self.payload) == "csv":
                _refuse_names_of_columns(tag)
        return self


def _refuse_names_of_columns(tag: MqttTag) -> None:
    for key in ("value_path", "time_path", "status_path", "unit_path"):
        column, default = getattr(tag, key), MqttTag.model_fields[key].default
        # the defaults of time and status are names in JSON: a CSV line has neither unless a column is named
        if column and not column.isdecimal() and (column != default or key == "value_path"):
            raise ValueError(f"tag {tag.sensor_id}: {key} {column!r} is no column of a CSV line: the first is 0")
