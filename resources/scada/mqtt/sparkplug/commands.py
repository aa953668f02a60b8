"""What we publish to edge nodes: rebirth requests, and values for metrics. No I/O.

A command names its metric by the alias of a birth that is fresh (the present value is read, by a rebirth, before
anything is written), else by name: what an old alias stands for may have changed, and a command to the wrong actuator
is worse than none. Source: Sparkplug 3.0.0, 6.4.10 (NCMD), 6.4.11 (DCMD).
"""

from __future__ import annotations

from collections.abc import Iterable

from resources.core.clock import Clock, to_micros
from resources.core.errors import ProtocolError
from resources.scada.mqtt.config import MqttTag
from resources.scada.mqtt.payloads import Outgoing, UnreadError
from resources.scada.mqtt.sparkplug.nodes.births import REBIRTH, Definition
from resources.scada.mqtt.sparkplug.payload.datatypes import (
    INTEGERS,
    DataType,
    RefusedError,
    is_array,
    put_value,
    type_word,
)
from resources.scada.mqtt.sparkplug.payload.schema import new_payload
from resources.scada.mqtt.sparkplug.readers import Tag
from resources.scada.mqtt.sparkplug.topics import command_topic

_FRESH_S = 60.0
"""A birth that is older than this says too little about what an alias stands for now."""


def rebirth_request(group_id: str, edge_node_id: str, clock: Clock) -> Outgoing:
    """Return the NCMD that asks an edge node for its births and those of its devices."""
    now = _now_ms(clock)
    payload = new_payload(timestamp=now)
    payload.metrics.add(name=REBIRTH, timestamp=now, datatype=DataType.BOOLEAN, boolean_value=True)
    return Outgoing(command_topic(group_id, edge_node_id), payload.SerializeToString(), qos=0)


class Commands:
    """Makes commands for the tags of one source."""

    def __init__(self, source: str, tags: Iterable[MqttTag], clock: Clock) -> None:
        """Know the tags; their births are learned by looking."""
        self._source, self._clock = source, clock
        self._tags = {tag.sensor_id: tag for tag in tags}
        self._known: dict[str, tuple[Tag, Definition, float]] = {}

    def learn(self, tag: Tag, definition: Definition) -> None:
        """Take over what a birth that has come just now says of a tag's metric."""
        self._known[tag.sensor_id] = (tag, definition, self._clock.monotonic())

    def command(self, sensor_id: str, value: float | str) -> Outgoing:
        """Return the message that sets a tag to an engineering value.

        Raises:
            UnreadError: No fresh birth of the metric is known.
            ProtocolError: It does not take the value.
        """
        address = self._tags[sensor_id].sparkplug
        assert address is not None
        tag, definition = self._definition(sensor_id)
        now = _now_ms(self._clock)
        payload = new_payload(timestamp=now)
        metric = payload.metrics.add(timestamp=now)
        if definition.alias is None:
            metric.name = definition.name
        else:
            metric.alias = definition.alias
        try:
            put_value(metric, definition.datatype, _raw(tag, definition, value))
        except RefusedError as refused:
            raise ProtocolError(
                f"source {self._source}: writing {sensor_id}: {refused}", source=self._source
            ) from refused
        topic = command_topic(address.group, address.edge_node, address.device or "")
        return Outgoing(topic, payload.SerializeToString(), qos=0)

    def _definition(self, sensor_id: str) -> tuple[Tag, Definition]:
        known = self._known.get(sensor_id)
        if known is None or self._clock.monotonic() - known[2] > _FRESH_S:
            raise UnreadError(
                f"source {self._source}: writing {sensor_id}: no birth certificate of its metric has been read in the "
                f"last {_FRESH_S:g} s: see that the metric exists (gl tags discover)",
                source=self._source,
            )
        tag, definition, _ = known
        if tag.refused is not None or is_array(definition.datatype):
            reason = tag.refused or f"an element of a {type_word(definition.datatype)} cannot be written by itself"
            raise ProtocolError(f"source {self._source}: writing {sensor_id}: {reason}", source=self._source)
        return tag, definition


def _raw(tag: Tag, definition: Definition, value: float | str) -> float | str:
    """Return what the metric is set to for an engineering value of the tag."""
    if isinstance(value, str):
        return value
    if tag.states:
        named = [state for state, number in tag.states.items() if number == value]
        if not named:
            raise RefusedError(f"{value:g} is the number of none of the tag's states")
        return named[0]
    raw = (value - tag.shift) / tag.factor
    nearest = round(raw)
    # scaling back leaves the last digits of a whole number undone
    if definition.datatype in INTEGERS and abs(raw - nearest) <= 1e-9 * max(1.0, abs(raw)):
        return nearest
    return raw


def _now_ms(clock: Clock) -> int:
    return to_micros(clock.now()) // 1000
