"""A collector that is killed between raising an alarm and telling anybody loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import ServerPrograms
from tests.agents_support import plain_broker
from tests.alarms_support import ALARM_ID, AlarmPlant
from tests.faults.small_plant import SITE, CollectorProcess, SmallPlant, now_us, until


@pytest.fixture
async def plant(tmp_path: Path, broker: EmbeddedBroker) -> AsyncIterator[SmallPlant]:
    plant = SmallPlant(tmp_path, broker, sources="mqtt")
    await plant.start()
    yield plant
    await plant.stop()


@pytest.fixture
async def agents_broker(programs: ServerPrograms, server_folder: Path) -> AsyncIterator[EmbeddedBroker]:
    """The agents' own broker, which has a port and does not run yet."""
    found = EmbeddedBroker(server_folder / "agents-broker", programs, BrokerOptions(insecure_anonymous=True))
    await asyncio.to_thread(found.start)
    await asyncio.to_thread(found.stop)
    yield found
    await asyncio.to_thread(found.stop)


async def test_alarm_when_the_collector_is_killed_before_it_was_told_then_told_once_by_the_next_run(
    plant: SmallPlant, agents_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    wire = AlarmPlant(tmp_path / "wire", plain_broker(agents_broker.port))
    keys = wire.agents.keys
    config = yaml.safe_load(plant.config_path.read_text())
    config["agents"] = {
        "broker": {"host": "127.0.0.1", "port": agents_broker.port, "tls": False, "insecure_plain_tcp": True},
        "private_key": str(keys / "GL-001.jwk"),
        "public_keys": str(wire.agents.jwks),
    }
    rule = {"sensors": ["mqtt.*"], "above": 1000.0}
    config["alarms"] = {"private_key": str(keys / f"{ALARM_ID}.jwk"), "rules": {"too_many": rule}}
    plant.config_path.write_text(yaml.safe_dump(config))
    collector = CollectorProcess(plant, {})
    try:
        collector.start()
        await collector.until_connected()
        plant.publish(1001.0, now_us())
        await collector.until(lambda: collector.metric("gl_alarms_unsent") == 1)
        await collector.kill()
        await asyncio.to_thread(agents_broker.start)
        listener = await asyncio.to_thread(wire.listen, SITE)
        collector.start()
        await until(lambda: bool(listener.events))
        await collector.until_connected()
        plant.publish(1002.0, now_us())
        plant.publish(1.0, now_us() + 1000)
        await until(lambda: len(listener.told()) == 2)
        assert listener.told() == [
            ("emergency", "raised", "mqtt.count", 1001.0),
            ("system_status", "cleared", "mqtt.count", 1.0),
        ]
        assert await collector.end() == 0
    finally:
        collector.close()
        await asyncio.to_thread(wire.close)
