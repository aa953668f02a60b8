"""A broker, an edge node with a device, and the connector as its host application."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from resources.core.tags import Sensor, SensorCatalog
from resources.demo_plant.servers.mqtt import MqttEndpoint
from resources.demo_plant.servers.sparkplug import SparkplugEdgeNode
from resources.demo_plant.servers.sparkplug_bytes import BOOLEAN, DOUBLE, INT32, STRING, SparkplugMetric
from resources.embedded.broker import EmbeddedBroker
from resources.scada.mqtt.client import MqttClient
from resources.scada.mqtt.config import MqttConfig
from tests.contract.scada.recorder import Recorder

STEAM, LEVEL, RUNNING, STATE = "boiler.steam", "boiler.level", "boiler.running", "boiler.state"


def own_metrics() -> list[SparkplugMetric]:
    return [SparkplugMetric("Steam/Flow", DOUBLE, 1.0, alias=10, unit="kg/h")]


def device_metrics() -> list[SparkplugMetric]:
    return [
        SparkplugMetric("Level", INT32, -5, alias=20),
        SparkplugMetric("Running", BOOLEAN, False, alias=21),
        SparkplugMetric("State", STRING, "idle", alias=22),
    ]


class SparkplugRig:
    def __init__(self, broker: EmbeddedBroker, state: Path) -> None:
        self.broker, self.state = broker, state
        self.nodes: list[SparkplugEdgeNode] = []
        self.node = self.edge_node()

    def edge_node(self, name: str = "Boiler 1", **options: Any) -> SparkplugEdgeNode:
        endpoint = MqttEndpoint("127.0.0.1", self.broker.port, name)
        node = SparkplugEdgeNode(endpoint, "Plant", name, {"": own_metrics(), "Drum": device_metrics()}, **options)
        self.nodes.append(node)
        return node

    def config(self, **changes: Any) -> MqttConfig:
        drum = {"group": "Plant", "edge_node": "Boiler 1", "device": "Drum"}
        settings: dict[str, Any] = {
            "kind": "mqtt",
            "broker": {"host": "127.0.0.1", "port": self.broker.port, "tls": False, "insecure_plain_tcp": True},
            "client_id": "collector",
            "payload": "sparkplug_b",
            "sparkplug": {
                "host_id": "gl", "reorder_timeout": "200ms", "birth_timeout": "2s", "rebirth_interval": "300ms",
            } | changes.pop("sparkplug", {}),
            "tags": [
                {"sensor_id": STEAM, "unit": "kg/h", "sparkplug": "Plant/Boiler 1//Steam/Flow"},
                {"sensor_id": LEVEL, "unit": "mm", "scale": 2, "offset": 1, "sparkplug": drum | {"metric": "Level"}},
                {"sensor_id": RUNNING, "unit": "1", "sparkplug": drum | {"metric": "Running"}},
                {"sensor_id": STATE, "data": "text", "sparkplug": drum | {"metric": "State"}},
                *changes.pop("more_tags", ()),
            ],
        }  # fmt: skip
        return MqttConfig.model_validate(settings | changes)

    def ready(self, *, durable: bool = True, **changes: Any) -> tuple[MqttClient, Recorder]:
        """A connector as a new process makes it: with the same folder of state."""
        config = self.config(**changes)
        catalog = SensorCatalog(Sensor(tag.sensor_id, tag.unit, "rig", tag.is_text) for tag in config.tags)
        client = MqttClient("rig", config, catalog)
        client.keep_state_in(self.state)
        return client, Recorder(catalog, durable=durable)


@pytest_asyncio.fixture
async def rig(broker: EmbeddedBroker, tmp_path: Path) -> AsyncIterator[SparkplugRig]:
    made = SparkplugRig(broker, tmp_path / "state")
    await asyncio.to_thread(made.node.start)
    yield made
    for node in made.nodes:
        await asyncio.to_thread(node.stop)
