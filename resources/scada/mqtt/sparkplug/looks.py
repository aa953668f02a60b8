"""Short looks beside the connection that reads: the present values of some tags, and what there is to be read.

A Sparkplug metric cannot be asked for; an edge node can be asked for its births, and they hold every metric's value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from resources.core.clock import Clock
from resources.core.readings import ReadingBatch, Reject, Status, rejects_batch
from resources.core.tags import SensorCatalog
from resources.scada.connector import FoundItem
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.link.packets import Subscription
from resources.scada.mqtt.link.wire import Message
from resources.scada.mqtt.payloads import Decoded, Outgoing
from resources.scada.mqtt.sparkplug.commands import Commands, rebirth_request
from resources.scada.mqtt.sparkplug.items import Items
from resources.scada.mqtt.sparkplug.lifecycle import Lifecycle
from resources.scada.mqtt.sparkplug.nodes.births import BD_SEQ, Birth, Definition
from resources.scada.mqtt.sparkplug.nodes.edge_node import Device, EdgeNode
from resources.scada.mqtt.sparkplug.nodes.rebirths import Rebirths
from resources.scada.mqtt.sparkplug.output import Output
from resources.scada.mqtt.sparkplug.payload.datatypes import TEXTS, RefusedError, is_array, refusal_of, type_word
from resources.scada.mqtt.sparkplug.payload.envelope import read_payload
from resources.scada.mqtt.sparkplug.payload.properties import ucum_of
from resources.scada.mqtt.sparkplug.readers import MetricReader
from resources.scada.mqtt.sparkplug.roster import Roster
from resources.scada.mqtt.sparkplug.topics import NAMESPACE, filters_of, parse_topic
from resources.scada.rejects import raw_value

_CONTROL = ("Node Control/", "Device Control/")


class _Failures:
    """Keeps why items cannot be read."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def item_failed(self, sensor_id: str, reason: str) -> None:
        self.reasons[sensor_id] = reason

    def item_recovered(self, sensor_id: str) -> None:
        self.reasons.pop(sensor_id, None)


class MetricLook:
    """A `Look` at the present values of some tags."""

    def __init__(
        self,
        source: str,
        config: MqttConfig,
        catalog: SensorCatalog,
        clock: Clock,
        sensor_ids: Iterable[str],
        commands: Commands,
    ) -> None:
        """Look for `sensor_ids`; what their births say of their metrics is told to `commands`.

        Raises:
            KeyError: A sensor is not one of this source.
        """
        assert config.sparkplug is not None
        by_id = {tag.sensor_id: tag for tag in config.tags}
        self._source, self._qos, self._clock, self._commands = source, config.qos, clock, commands
        self._roster = Roster([by_id[sensor_id] for sensor_id in sensor_ids], catalog)
        self._failures = _Failures()
        items = Items()
        items.report_to(self._failures)
        codes = {code: int(Status[word.upper()]) for code, word in config.sparkplug.quality_codes.items()}
        reader, rebirths = MetricReader(source, codes), Rebirths[EdgeNode](60.0)
        self._lifecycle = Lifecycle(source, reader, items, rebirths, birth_timeout_s=60.0)
        self._parts: list[Decoded] = []
        self._devices = [
            (node, device) for node in self._roster.nodes for device in node.devices.values() if device.tags
        ]
        self._received_us = 0

    def subscriptions(self) -> Sequence[Subscription]:
        """Return what the edge nodes publish."""
        filters = [each for node in self._roster.nodes for each in filters_of(*node.key)]
        return [Subscription(each, self._qos) for each in filters]

    def asks(self) -> Sequence[Outgoing]:
        """Return a rebirth request to each edge node."""
        return [rebirth_request(node.group_id, node.edge_node_id, self._clock) for node in self._roster.nodes]

    def heard(self, messages: Sequence[Message], received_us: int) -> bool:
        """Read births and data; return True once all that the tags are of have been born."""
        self._received_us = received_us
        out = Output(received_us, self._clock.monotonic())
        for message in messages:
            if (route := self._roster.route(message.topic)) is not None:
                self._lifecycle.take(route.node, route.message_type, route.device_id, message, out)
        self._parts += out.parts()
        self._lifecycle.changed.clear()
        # a device's birth that comes before its edge node's is one of those before we asked
        certain = [
            node.sequence.expected is not None and bool(device.is_alive) and not device.awaits_birth
            for node, device in self._devices
        ]
        for (_, device), is_certain in zip(self._devices, certain, strict=True):
            if is_certain:
                self._learn(device)
        return all(certain)

    def _learn(self, device: Device) -> None:
        for name, tags in device.tags.items():
            definition = device.birth.definitions.get(name)
            if definition is not None:
                for tag in tags:
                    self._commands.learn(tag, definition)

    def found(self) -> ReadingBatch | None:
        """Return the values, in order of arrival, with a reject for each tag that cannot be read."""
        rejects = [part.rejects for part in self._parts if part.rejects is not None]
        failed = [
            Reject(self._source, raw_value(sensor_id=sensor_id), (reason,), self._received_us, sensor_id=sensor_id)
            for sensor_id, reason in self._failures.reasons.items()
        ]
        if failed:
            rejects.append(rejects_batch(failed))
        readings = [part.readings for part in self._parts if part.readings is not None]
        texts = [part.texts for part in self._parts if part.texts is not None]
        if not (readings or texts or rejects):
            return None
        return ReadingBatch(self._source, _joined(readings), _joined(texts), _joined(rejects), only_if_newer=True)


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch | None:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0] if batches else None


class Survey:
    """A `Look` at everything that edge nodes have: those that are configured are asked, others are heard by chance."""

    def __init__(self, config: MqttConfig, clock: Clock) -> None:
        """Ask the edge nodes of the tags, and those listed in `sparkplug.edge_nodes`."""
        assert config.sparkplug is not None
        self._clock = clock
        named = [(tag.sparkplug.group, tag.sparkplug.edge_node) for tag in config.tags if tag.sparkplug is not None]
        listed = [tuple(text.split("/", 1)) for text in config.sparkplug.edge_nodes]
        self._nodes = tuple(dict.fromkeys([*named, *listed]))
        self._births: dict[tuple[str, str, str], Birth] = {}

    def subscriptions(self) -> Sequence[Subscription]:
        """Return the births of the groups."""
        groups = dict.fromkeys(node[0] for node in self._nodes)
        filters = [(f"{NAMESPACE}/{group}/NBIRTH/+", f"{NAMESPACE}/{group}/DBIRTH/+/+") for group in groups]
        return [Subscription(each, 0) for pair in filters for each in pair]

    def asks(self) -> Sequence[Outgoing]:
        """Return a rebirth request to each edge node that is known."""
        return [rebirth_request(group_id, edge_node_id, self._clock) for group_id, edge_node_id in self._nodes]

    def heard(self, messages: Sequence[Message], received_us: int) -> bool:
        """Take births; there may always be another."""
        for message in messages:
            said = parse_topic(message.topic.decode("utf-8", "replace"))
            if said is None or not said.message_type.endswith("BIRTH"):
                continue
            try:
                birth = Birth.read(read_payload(message.payload))
            except RefusedError:
                continue
            self._births[said.group_id, said.edge_node_id, said.device_id] = birth
        return False

    def found(self) -> Sequence[FoundItem] | None:
        """Return the metrics that can be read, in order of their paths."""
        found = [
            _item(where, definition)
            for where, birth in self._births.items()
            for definition in birth.definitions.values()
            if _is_readable(definition)
        ]
        return sorted(found, key=lambda item: item.path) or None


def _is_readable(definition: Definition) -> bool:
    odd = definition.name == BD_SEQ or definition.name.startswith(_CONTROL) or definition.is_transient
    return not odd and not is_array(definition.datatype) and refusal_of(definition.datatype) is None


def _item(where: tuple[str, str, str], definition: Definition) -> FoundItem:
    return FoundItem(
        address={"sparkplug": "/".join((*where, definition.name))},
        path="/".join(part for part in (*where, definition.name) if part),
        data_type=type_word(definition.datatype),
        unit=ucum_of(definition.unit) if definition.unit is not None else None,
        is_text=definition.datatype in TEXTS,
        description=definition.description,
    )
