"""A device whose answers take ever longer: one warning before it fails, one note when it is well again."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from gl_assets.cli.site.doctor import look_at_collector
from resources.demo_plant.servers.modbus import ModbusEndpoint, ModbusServer, Register
from resources.embedded.ports import free_port
from resources.integrations import Integrations
from sensors.collector.assembly import Collector, Doors
from sensors.collector.connection_health.history import HISTORY_FILE, Record, Slots
from tests.soak.faulty_proxy import FaultyProxy
from tests.unit.sensors.collector.bench import until

SLOT_S, USUAL_S = 0.1, 0.005


def configuration(port: int) -> Integrations:
    return Integrations.model_validate({
        "site": "plant",
        "start": datetime.now(UTC) - timedelta(days=1),
        "collector": {"port": 0},
        "connection_health": {"every": "100ms", "recent": "3s", "history": "10m", "horizon": "12s"},
        "sources": {
            "kiln": {
                "kind": "modbus",
                "host": "127.0.0.1",
                "port": port,
                "poll_interval": "100ms",
                "tags": [{"sensor_id": "kiln.a", "unit": "1", "address": 0, "data_type": "uint16"}],
            }
        },
    })  # fmt: skip


def an_hour_ago_all_was_well(home: Path) -> None:
    """Leave what an earlier run would have: five minutes of quick answers."""
    count = 3000
    times = datetime.now(UTC).timestamp() - 5.0 - SLOT_S * np.arange(count)[::-1]
    quiet = np.zeros((count, 1))
    latency = np.full((count, 1), USUAL_S)
    slots = Slots(times, latency, quiet.astype(np.bool_), quiet, quiet)
    Record(("kiln",), SLOT_S, np.array([3.0]), slots).write(home / HISTORY_FILE)


@asynccontextmanager
async def collecting(home: Path) -> AsyncIterator[tuple[Collector, FaultyProxy]]:
    """A collector that reads one device through a proxy."""
    device = ModbusServer(ModbusEndpoint("127.0.0.1", free_port()), [Register("holding_register", 0, "uint16")])
    proxy = FaultyProxy(device.endpoint.port, random.Random(1))
    await device.start()
    await proxy.start()
    collector, stop = Collector(configuration(proxy.port), home), asyncio.Event()
    running = asyncio.create_task(collector.run(stop, Doors()))
    try:
        await until(lambda: collector.states["kiln"].connected and (home / "collector.json").exists())
        yield collector, proxy
    finally:
        stop.set()
        await running
        await proxy.stop()
        await device.stop()


async def test_source_when_its_answers_take_ever_longer_then_one_warning_and_one_end(tmp_path: Path) -> None:
    an_hour_ago_all_was_well(tmp_path)
    async with collecting(tmp_path) as (collector, proxy), httpx.AsyncClient(timeout=30) as client:
        connections = collector.connections
        assert connections is not None
        url = json.loads((tmp_path / "collector.json").read_text())["url"]
        delay_s = 0.005
        while not connections.book.at_risk[0]:
            proxy.go_slow(delay_s)
            delay_s = min(delay_s * 1.1, 0.5)
            judged = len(connections.history.slots())
            await until(lambda seen=judged: len(connections.history.slots()) > seen)  # type: ignore[misc]
        page = (await client.get(f"{url}/healthz/now")).json()
        findings = {finding["name"]: finding for finding in page["findings"]}
        assert findings["risk.kiln"]["level"] == "warning"
        assert "likely to fail soon" in findings["risk.kiln"]["detail"]
        assert findings["risk.kiln"]["facts"]["latency"] > 0
        doctor = await asyncio.to_thread(lambda: list(look_at_collector(tmp_path)))
        assert "collector, risk.kiln" in {finding.what for finding in doctor if finding.level == "warning"}
        text = (await client.get(f"{url}/metrics")).text
        await proxy.heal()
        await until(lambda: not connections.book.at_risk[0])
        await until(lambda: collector.events is not None and len(collector.events) == 2)
        assert collector.events is not None
        told = [queued.event for queued in collector.events.oldest(10)]
    assert [(event.event_type, event.source, event.severity_word) for event in told] == [
        ("source_at_risk", "kiln", "warning"), ("source_risk_over", "kiln", "info"),
    ]  # fmt: skip
    samples = {
        (sample.name, sample.labels.get("outcome")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("source") == "kiln"
    }
    assert samples["gl_source_at_risk", None] == 1
    assert samples["gl_source_risk_warnings_total", "right"] == 0
    # what was measured is there for the next run
    assert len(Record.read(tmp_path / HISTORY_FILE).slots) > 3000


async def test_source_when_all_is_well_then_nobody_is_warned(tmp_path: Path) -> None:
    (tmp_path / HISTORY_FILE).write_bytes(b"damaged")
    async with collecting(tmp_path) as (collector, _), httpx.AsyncClient(timeout=30) as client:
        connections = collector.connections
        assert connections is not None
        await until(lambda: len(connections.history.slots()) > 5)
        url = json.loads((tmp_path / "collector.json").read_text())["url"]
        findings = {found["name"]: found for found in (await client.get(f"{url}/healthz")).json()["findings"]}
        assert findings["connection_health"]["level"] == "green"
        assert np.isfinite(connections.history.slots().latency_s[-1, 0])
        doctor = await asyncio.to_thread(lambda: list(look_at_collector(tmp_path)))
        assert [finding.level for finding in doctor] == ["ok"]
