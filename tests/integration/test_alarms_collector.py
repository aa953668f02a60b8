"""The whole way of an alarm: a device's message, the collector, the agents; no database and no Dagster on it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from resources.core.clock import from_micros, to_micros
from resources.core.errors import ConfigError
from resources.demo_plant.servers.mqtt import Message, MqttEndpoint, MqttPublisher
from resources.embedded.broker import EmbeddedBroker
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.collector.alarms.journal import STORE_FILE, AlarmJournal
from sensors.collector.assembly import Collector, Doors
from sensors.triggers.alarm_events import build_alarm_events_sensor, record_waiting
from tests.agents_support import SITE, plain_broker
from tests.alarms_support import ALARM_ID, AlarmPlant, rules
from tests.unit.sensors.collector.bench import until

COMMAND = {"name": "emergency", "targets": ["GL-002"], "timeout": "60s"}


class Site:
    """A device behind the broker, agents, and a collector that reads the one and tells the others."""

    def __init__(self, folder: Path, broker: EmbeddedBroker) -> None:
        self.plant = AlarmPlant(folder, plain_broker(broker.port))
        self.home = self.plant.home
        self.device = MqttPublisher(MqttEndpoint(broker.host, broker.port, "device"), lambda *_: None)

    def config(self, **rule: Any) -> Integrations:
        broker = self.plant.broker.model_dump()
        keys = self.plant.agents.keys
        return Integrations.model_validate(
            {
                "site": SITE,
                "start": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
                "collector": {"port": 0},
                "sources": {
                    "boilers": {
                        "kind": "mqtt",
                        "broker": broker,
                        "client_id": "collector",
                        "topic_filters": ["plant/#"],
                        "tags": [{"sensor_id": "b1.p", "unit": "bar", "topic": "plant/p"}],
                    }
                },
                "agents": {
                    "broker": broker,
                    "private_key": keys / "GL-001.jwk",
                    "public_keys": self.plant.agents.jwks,
                },
                "alarms": {"private_key": keys / f"{ALARM_ID}.jwk", "rules": rules(**rule)},
            }
        )

    def publish(self, value: float, *, ago: timedelta = timedelta(0)) -> None:
        at = datetime.now(UTC) - ago
        self.device.publish(
            Message("plant/p", json.dumps({"value": value, "time": at.isoformat()}).encode(), to_micros(at))
        )

    @asynccontextmanager
    async def collecting(self, config: Integrations, *, serve: bool = False) -> AsyncIterator[Collector]:
        collector, stop = Collector(config, self.home), asyncio.Event()
        running = asyncio.create_task(collector.run(stop, Doors(serve=serve)))
        assert collector.alarms is not None
        desk = collector.alarms.desk
        await until(lambda: running.done() or (collector.states["boilers"].connected and desk.connected))
        try:
            yield collector
        finally:
            stop.set()
            await running


@pytest.fixture
async def site(tmp_path: Path, broker: EmbeddedBroker) -> AsyncIterator[Site]:
    site = Site(tmp_path, broker)
    site.device.start()
    yield site
    await site.device.stop()
    await asyncio.to_thread(site.plant.close)


async def test_command_when_a_device_tells_a_value_beyond_the_limit_then_it_runs_and_the_time_is_measured(
    site: Site, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await asyncio.to_thread(site.plant.agents.agent, "GL-002")
    taken = []
    async with site.collecting(site.config(command=COMMAND), serve=True) as collector:
        for _ in range(10):
            before = len(site.plant.agents.executions)
            began = time.monotonic()
            site.publish(12.0)
            await until(lambda: len(site.plant.agents.executions) > before)  # noqa: B023 - awaited in the same turn
            taken.append(time.monotonic() - began)
            site.publish(5.0)
            await until(lambda: not collector.alarms.desk.standing())
        page = json.loads((site.home / "collector.json").read_text())["url"]
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"{page}/metrics")).text
            health = (await client.get(f"{page}/healthz")).json()
    assert 'gl_alarms_raised_total{rule="overpressure"} 10.0' in metrics
    assert [finding["level"] for finding in health["findings"] if finding["name"] == "alarms"] == ["green"]
    record_property("reading_to_command_ms", [round(seconds * 1000, 1) for seconds in taken])
    with capsys.disabled():
        middle, longest = sorted(taken)[len(taken) // 2] * 1000, max(taken) * 1000
        sys.stdout.write(f"\nreading to command: median {middle:.0f} ms, longest {longest:.0f} ms\n")


async def test_collector_when_it_cannot_begin_then_nothing_stays_open(site: Site) -> None:
    config = site.config()
    assert config.alarms is not None
    keyless = config.alarms.model_copy(update={"private_key": site.home / "none.jwk"})
    with pytest.raises(ConfigError, match="private key"):
        Collector(config.model_copy(update={"alarms": keyless}), site.home)
    exposed = config.collector.model_copy(update={"host": "0.0.0.0"})
    collector = Collector(config.model_copy(update={"collector": exposed}), site.home)
    with pytest.raises(ConfigError, match="expose-without-login"):
        await collector.run(asyncio.Event())
    async with site.collecting(config) as again:
        assert again.alarms is not None


async def test_alarm_when_a_backlog_comes_in_then_nothing_is_raised_by_it(site: Site) -> None:
    async with site.collecting(site.config()) as collector:
        for minutes in (3, 2, 1):
            site.publish(99.0, ago=timedelta(minutes=minutes))
        site.publish(12.0)
        await until(lambda: bool(collector.alarms.desk.standing()))
        assert [change.value for change in collector.alarms.desk.standing()] == [12.0]
        late = {s.value for f in collector.alarms.collect() for s in f.samples if "late_readings_total" in s.name}
        assert late == {3.0}


async def test_changes_when_the_dagster_sensor_ticks_then_they_are_rows_once(site: Site, database_url: str) -> None:
    import dagster as dg

    config, timescale = site.config(command=COMMAND), TimescaleResource(url=database_url)
    sensor = build_alarm_events_sensor(config)

    def tick() -> str:
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, resources={"timescale": timescale})
            return str(sensor.evaluate_tick(context).skip_message)

    assert tick() == "no collector with alarms has run here yet"
    await asyncio.to_thread(site.plant.agents.agent, "GL-002")
    async with site.collecting(config) as collector:
        site.publish(12.0)
        await until(lambda: collector.alarms.desk.figures.answers["ok"] == 1)
        standing = collector.alarms.desk.standing()[0]
        assert tick() == "2 changes of alarms recorded"
        site.publish(5.0)
        await until(lambda: not collector.alarms.desk.standing())
    with AlarmJournal(site.home / STORE_FILE) as journal:
        over = [entry.change for entry in journal.oldest(10)]
    assert await asyncio.to_thread(tick) == "1 changes of alarms recorded"
    assert await asyncio.to_thread(tick) == "no alarm has changed"
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT rule, sensor_id, raised_at, value, threshold, message_id, cleared_at, cleared_value, unit, "
            "collector, answers FROM scada.alarms"
        ).fetchall()
        events = connection.execute(
            "SELECT event_type, severity, source, sensor_id, active, message FROM scada.events ORDER BY received_at"
        ).fetchall()
    assert [row[:6] for row in rows] == [
        ("overpressure", "b1.p", from_micros(standing.raised_us), 12.0, 10.0, standing.message_id)
    ]
    assert rows[0][6:10] == (from_micros(over[0].at_us), 5.0, "bar", "collector")
    assert rows[0][10]["GL-002"]["status"] == "ok"
    assert events == [
        (
            "alarm_raised",
            "error",
            "boilers",
            "b1.p",
            True,
            "overpressure raised: b1.p is 12 bar, limit 10 bar: Open the valve",
        ),
        ("alarm_command_answered", "info", "boilers", "b1.p", None, "overpressure: command emergency at GL-002: ok"),
        (
            "alarm_cleared",
            "info",
            "boilers",
            "b1.p",
            False,
            "overpressure cleared: b1.p is 5 bar, limit 10 bar: Open the valve",
        ),
    ]


async def test_changes_when_they_are_recorded_again_or_the_end_comes_first_then_one_row(
    site: Site, database_url: str
) -> None:
    from resources.databases.timescale.notes.alarms import record_alarm_changes

    config, timescale = site.config(), TimescaleResource(url=database_url)
    async with site.collecting(config) as collector:
        site.publish(12.0)
        await until(lambda: bool(collector.alarms.desk.standing()))
        site.publish(5.0)
        await until(lambda: not collector.alarms.desk.standing())
    with AlarmJournal(site.home / STORE_FILE) as journal:
        changes = [entry.change for entry in journal.oldest(10)]
    with psycopg.connect(database_url) as connection:
        record_alarm_changes(connection, changes[::-1], site=SITE, collector="collector")
    assert record_waiting(site.home / STORE_FILE, timescale, config) == 2
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT value, cleared_value, message_id FROM scada.alarms").fetchall()
        events = connection.execute("SELECT count(*) FROM scada.events").fetchone()
    assert rows == [(12.0, 5.0, changes[0].message_id)]
    assert events == (2,)


async def test_tick_when_the_database_is_away_then_the_changes_wait(site: Site) -> None:
    import dagster as dg

    config = site.config()
    async with site.collecting(config) as collector:
        site.publish(12.0)
        await until(lambda: bool(collector.alarms.desk.standing()))
    nowhere = TimescaleResource(url="postgresql://nobody@127.0.0.1:1/none")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"timescale": nowhere})
        data = await asyncio.to_thread(build_alarm_events_sensor(config).evaluate_tick, context)
    assert str(data.skip_message).startswith("waiting: ")
    with AlarmJournal(site.home / STORE_FILE) as journal:
        assert [entry.change.state for entry in journal.oldest(10)] == ["raised"]
