"""Whom we read: the edge nodes and devices that the tags name, and which of them a topic is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from resources.core.tags import SensorCatalog
from resources.scada.mqtt.config import MqttTag
from resources.scada.mqtt.sparkplug.nodes.births import Birth
from resources.scada.mqtt.sparkplug.nodes.edge_node import EdgeNode
from resources.scada.mqtt.sparkplug.readers import Tag
from resources.scada.mqtt.sparkplug.topics import FROM_NODES, parse_topic

_MOST_ROUTES = 100_000
"""Topics that are remembered: a peer must not fill our memory with invented devices."""


class Route(NamedTuple):
    """What a topic is about."""

    node: EdgeNode
    message_type: str
    device_id: str


class Roster:
    """The edge nodes of one source."""

    def __init__(self, tags: Iterable[MqttTag], catalog: SensorCatalog) -> None:
        """Sort the tags by edge node, device and metric."""
        self._nodes: dict[tuple[str, str], EdgeNode] = {}
        self._routes: dict[bytes, Route | None] = {}
        for tag in tags:
            address = tag.sparkplug
            if address is None:
                continue
            key = (address.group, address.edge_node)
            node = self._nodes.setdefault(key, EdgeNode(*key))
            node.add_device(address.device or "").tags.setdefault(address.metric, []).append(
                Tag(
                    tag.sensor_id,
                    catalog.key(tag.sensor_id),
                    tag.unit,
                    address,
                    tag.scale,
                    tag.offset,
                    tag.is_text,
                    tag.states,
                )
            )
        self.nodes = tuple(self._nodes.values())
        for node in self.nodes:
            for device in node.devices.values():
                device.bind(Birth())

    def find(self, group_id: str, edge_node_id: str) -> EdgeNode | None:
        """Return an edge node, None if no tag is of it."""
        return self._nodes.get((group_id, edge_node_id))

    def route(self, topic: bytes) -> Route | None:
        """Return what a topic is about, None if it is nothing that an edge node of ours says."""
        try:
            return self._routes[topic]
        except KeyError:
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            route = self._routes[topic] = self._routed(topic)
            return route

    def _routed(self, topic: bytes) -> Route | None:
        said = parse_topic(topic.decode("utf-8", "replace"))
        if said is None or said.message_type not in FROM_NODES:
            return None
        node = self.find(said.group_id, said.edge_node_id)
        return None if node is None else Route(node, said.message_type, said.device_id)
