"""A collector with a device that answers and one that is not there: its pages, and what `gl doctor` makes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from gl_assets.cli.site.collector_pages import ask_collector
from gl_assets.cli.site.doctor import Finding, look_at_collector
from resources.demo_plant.servers.modbus import ModbusEndpoint, ModbusServer, Register
from resources.embedded.ports import free_port
from resources.integrations import Integrations
from resources.transport.turns.circuit_breaker import Circuit
from sensors.collector.assembly import Collector, Doors
from tests.unit.sensors.collector.bench import until


def source(port: int, sensor_id: str) -> dict[str, object]:
    return {
        "kind": "modbus",
        "host": "127.0.0.1",
        "port": port,
        "circuit_breaker": {"failures": 1, "recovery": "1h"},
        "probe_interval": "1h",
        "tags": [{"sensor_id": sensor_id, "unit": "1", "address": 0, "data_type": "uint16"}],
    }


@asynccontextmanager
async def collecting(home: Path) -> AsyncIterator[Collector]:
    """A collector of a device that is there and one that is not."""
    device = ModbusServer(ModbusEndpoint("127.0.0.1", free_port()), [Register("holding_register", 0, "uint16")])
    await device.start()
    config = Integrations.model_validate({
        "site": "plant",
        "start": datetime.now(UTC) - timedelta(days=1),
        "collector": {"port": 0},
        "sources": {"here": source(device.endpoint.port, "here.a"), "away": source(free_port(), "away.a")},
    })  # fmt: skip
    collector, stop = Collector(config, home), asyncio.Event()
    running = asyncio.create_task(collector.run(stop, Doors()))
    try:
        await until(
            lambda: (
                collector.states["here"].connected
                and collector.states["away"].circuit is Circuit.OPEN
                and (home / "collector.json").exists()
            )
        )
        yield collector
    finally:
        stop.set()
        await running
        await device.stop()


async def test_pages_when_a_circuit_is_open_then_they_say_so_and_when_it_is_tried_again(tmp_path: Path) -> None:
    async with collecting(tmp_path) as collector, httpx.AsyncClient(timeout=30) as client:
        url = json.loads((tmp_path / "collector.json").read_text())["url"]
        page = (await client.get(f"{url}/healthz/now")).json()
        findings = {finding["name"]: finding for finding in page["findings"]}
        assert "circuit open after 1 failures, next attempt in" in findings["source.away"]["detail"]
        assert findings["source.away"]["facts"]["circuit"] == "open"
        assert findings["source.away"]["facts"]["next_attempt_s"] > 3000
        assert findings["source.here"]["level"] == "green"
        assert findings["source.here"]["facts"]["circuit"] == "closed"
        assert collector.states["here"].health_at is not None
        text = (await client.get(f"{url}/metrics")).text
    samples = {
        (sample.name, sample.labels.get("source"), sample.labels.get("state")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["gl_source_circuit", "away", "open"] == 1
    assert samples["gl_source_circuit", "here", "closed"] == 1
    assert samples["gl_source_failures_in_row", "away", None] == 1
    assert samples["gl_source_next_attempt_seconds", "away", None] > 3000
    assert samples["gl_source_health_seconds", "here", None] >= 0


async def test_doctor_when_a_collector_runs_then_it_tells_how_that_fares_with_each_source(tmp_path: Path) -> None:
    async with collecting(tmp_path):
        found = await asyncio.to_thread(lambda: list(look_at_collector(tmp_path)))
    assert found[0] == Finding("collector", "ok", "runs, 1 of 2 sources are well")
    assert [(one.what, one.level) for one in found[1:]] == [("collector, away", "warning")]
    assert "circuit open" in found[1].says
    assert "at 127.0.0.1:" in found[1].says


def test_doctor_when_a_killed_collector_has_left_its_file_then_none_runs(tmp_path: Path) -> None:
    (tmp_path / "collector.json").write_text(json.dumps({"pid": 1, "url": f"http://127.0.0.1:{free_port()}"}))
    assert ask_collector(tmp_path) is None
    assert [one.says for one in look_at_collector(tmp_path)] == ["none runs with this GL_HOME"]
