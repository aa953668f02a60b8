"""kill -9 of the collector and of an edge node that publishes with QoS 1: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from resources.demo_plant.servers.mqtt import MqttEndpoint
from resources.demo_plant.servers.sparkplug import SparkplugEdgeNode
from resources.demo_plant.servers.sparkplug_bytes import DOUBLE, SparkplugMetric
from resources.embedded.broker import EmbeddedBroker
from tests.faults.small_plant import CollectorProcess, SmallPlant, now_us, until


class SparkplugPlant(SmallPlant):
    """A small plant whose only device is an edge node; its values count up, each with a time of its own."""

    def __init__(self, folder: Path, broker: EmbeddedBroker) -> None:
        super().__init__(folder, broker, sources="")
        metrics = [SparkplugMetric("Count", DOUBLE, 0.0, alias=7), SparkplugMetric("Other", DOUBLE, 0.0, alias=8)]
        self.node = SparkplugEdgeNode(MqttEndpoint(broker.host, broker.port, "edge"), "G", "E", {"": metrics}, qos=1)
        self.sent: dict[int, float] = {}

    def _config(self) -> dict[str, Any]:
        source = {
            "kind": "mqtt",
            "broker": {"host": self.broker.host, "port": self.broker.port, "tls": False, "insecure_plain_tcp": True},
            "client_id": "host-under-test",
            "payload": "sparkplug_b",
            "sparkplug": {"host_id": "gl", "reorder_timeout": "500ms", "rebirth_interval": "500ms"},
            "tags": [{"sensor_id": "count", "unit": "1", "sparkplug": "G/E//Count"}],
        }
        return super()._config() | {"sources": {"sparkplug": source}}

    async def start(self) -> None:
        await asyncio.to_thread(self.node.start)

    async def stop(self) -> None:
        await self.rest()
        await asyncio.to_thread(self.node.stop)

    def work(self, messages_per_s: int = 200) -> None:
        self._feeders = [asyncio.create_task(self._count(1 / messages_per_s))]

    async def _count(self, pause_s: float) -> None:
        last = 0
        while True:
            last = max(last + 1, now_us() // 1000)
            value = float(len(self.sent) + 1)
            self.sent[last * 1000] = value
            self.node.publish_data("", {"Count": value}, last)
            await asyncio.sleep(pause_s)

    async def pause(self) -> None:
        await self.rest()
        await asyncio.to_thread(self.node.flush)


@pytest.fixture
async def plant(tmp_path: Path, broker: EmbeddedBroker) -> AsyncIterator[SparkplugPlant]:
    plant = SparkplugPlant(tmp_path, broker)
    await plant.start()
    yield plant
    await plant.stop()


@pytest.fixture
async def collector(plant: SparkplugPlant) -> AsyncIterator[CollectorProcess]:
    collector = CollectorProcess(plant, {})
    collector.start()
    yield collector
    collector.close()


async def test_host_when_killed_and_the_edge_node_restarts_then_each_value_is_there_once(
    plant: SparkplugPlant, collector: CollectorProcess
) -> None:
    await collector.until_connected()
    plant.work()
    await collector.until_rows("sparkplug", 200)
    await collector.kill()
    sent = len(plant.sent)
    await until(lambda: len(plant.sent) >= sent + 200)
    collector.start()
    await collector.until_connected()
    await collector.until_rows("sparkplug", 200)
    await plant.pause()
    await asyncio.to_thread(plant.node.vanish)
    # the other way round in the next life: a mix-up would show as a value of the wrong metric
    plant.node.metrics[""] = {
        "Other": SparkplugMetric("Other", DOUBLE, -1.0, alias=7),
        "Count": SparkplugMetric("Count", DOUBLE, 0.0, alias=8),
    }
    await asyncio.to_thread(plant.node.start)
    plant.work()
    await collector.until_rows("sparkplug", 200)
    await plant.pause()
    last = max(plant.sent)
    await collector.until(lambda: collector.metric("gl_buffered_total", source="sparkplug") >= len(plant.sent))
    assert await collector.end() == 0
    counts = plant.counts()["sparkplug"]
    assert counts.sent == counts.buffered + counts.rejected + counts.in_gaps, counts
    assert counts.rejected == 0
    found = plant.contents()["count"]
    assert len(found) == len({time for time, _ in found})
    values = dict(found)
    assert last in values
    missing = {time: value for time, value in plant.sent.items() if values.get(time) != value}
    assert not missing, (len(missing), len(plant.sent))
    assert -1.0 not in values.values()
