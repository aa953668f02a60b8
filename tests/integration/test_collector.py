"""The collector against real servers of all three protocols, in this process and as the command."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from resources.core.clock import from_micros
from resources.core.errors import ConfigError
from resources.embedded.broker import EmbeddedBroker
from resources.window_buffer.model import BufferLockedError
from resources.window_buffer.reader import BufferReader
from sensors.collector.assembly import Collector, Doors
from sensors.collector.main import collect_for, run
from tests.faults.small_plant import REPOSITORY, CollectorProcess, SmallPlant, until


@pytest.fixture
async def plant(tmp_path: Path, broker: EmbeddedBroker) -> AsyncIterator[SmallPlant]:
    plant = SmallPlant(tmp_path, broker)
    await plant.start()
    yield plant
    await plant.stop()


async def test_collect_for_when_it_ends_then_everything_sent_is_in_closed_windows(plant: SmallPlant) -> None:
    seen: list[float] = []

    def progress(seconds: float, states: object) -> None:
        seen.append(seconds)
        if len(seen) == 2:
            plant.work()

    collected = await collect_for(plant.config, plant.home, 5.0, progress)
    assert set(collected.counts) == {"opc_ua", "modbus", "mqtt"}
    for counts in collected.counts.values():
        # in_gaps: a poll that did not answer; not_newer: a first value that is already known
        assert counts.sent == counts.buffered + counts.rejected + counts.in_gaps
        assert counts.buffered > 0
    assert sum(window.rows for window in collected.closed) == sum(c.buffered for c in collected.counts.values())
    assert all(window.partial for window in collected.closed)
    reader = BufferReader(plant.home / "buffer")
    rows = [reader.read(window.window_start).readings.num_rows for window in reader.windows()]
    assert sum(rows) == sum(c.buffered for c in collected.counts.values())
    assert seen[0] < 1.0


async def test_counts_when_collected_twice_then_each_run_counts_its_own(plant: SmallPlant) -> None:
    first = await collect_for(plant.config, plant.home, 1.5)
    second = await collect_for(plant.config, plant.home, 1.5)
    total = BufferReader(plant.home / "buffer").counts()["modbus"].buffered
    assert first.counts["modbus"].buffered + second.counts["modbus"].buffered == total


async def test_health_when_a_source_is_away_then_503_and_the_others_go_on(plant: SmallPlant) -> None:
    config = plant.config.model_copy(
        update={
            "collector": plant.config.collector.model_copy(
                update={"disconnected_limit": from_micros(1) - from_micros(0)}
            )
        }
    )
    await plant.modbus.stop()
    collector, stop = Collector(config, plant.home), asyncio.Event()
    running = asyncio.create_task(collector.run(stop))
    await until(lambda: collector.states["opc_ua"].connected and collector.states["mqtt"].connected)
    await until((plant.home / "collector.json").exists)
    await until(lambda: collector.states["modbus"].failures.get("unreachable", 0) >= 1)
    plant.work()
    url = httpx.Response(200, content=(plant.home / "collector.json").read_bytes()).json()["url"]
    async with httpx.AsyncClient() as client:
        page = await client.get(f"{url}/healthz")
        metrics = (await client.get(f"{url}/metrics")).text
    levels = {finding["name"]: finding["level"] for finding in page.json()["findings"]}
    assert page.status_code == 503
    assert (levels["source.modbus"], levels["source.opc_ua"], levels["buffer"]) == ("red", "green", "green")
    assert 'gl_source_up{source="modbus"} 0.0' in metrics
    assert 'gl_source_up{source="mqtt"} 1.0' in metrics
    await plant.modbus.start()
    await until(lambda: collector.states["modbus"].connected)
    stop.set()
    await running
    assert not (plant.home / "collector.json").exists()
    (gap,) = plant.outages("modbus")
    assert gap.until is not None
    assert "unreachable" in gap.reason
    assert plant.outages("opc_ua") == []


async def test_collector_when_another_one_has_the_folder_then_refused(plant: SmallPlant) -> None:
    collector, stop = Collector(plant.config, plant.home), asyncio.Event()
    running = asyncio.create_task(collector.run(stop, Doors(serve=False)))
    await until(lambda: collector.states["modbus"].connected)
    with pytest.raises(BufferLockedError):
        await run(plant.config, plant.home, duration=1.0)
    stop.set()
    await running


async def test_collector_when_others_could_reach_its_pages_then_refused_before_it_connects(plant: SmallPlant) -> None:
    config = plant.config.model_copy(
        update={"collector": plant.config.collector.model_copy(update={"host": "0.0.0.0"})}
    )
    with pytest.raises(ConfigError, match="--expose-without-login"):
        await run(config, plant.home, duration=1.0)
    assert await run(config, plant.home, duration=1.0, expose_without_login=True) == 0


async def test_command_when_ended_by_sigterm_then_exit_code_0_and_everything_is_durable(plant: SmallPlant) -> None:
    collector = CollectorProcess(plant, {})
    collector.start()
    try:
        await collector.until_connected()
        plant.work()
        await collector.until_rows("mqtt", 50)
        await collector.until_rows("modbus", 5)
        assert await collector.end() == 0
    finally:
        collector.close()
    counts = plant.counts()
    assert all(c.sent == c.buffered + c.rejected + c.in_gaps for c in counts.values())
    log = collector.log.read_text()
    assert "Traceback" not in log
    assert log.count("event=source_connected") == 3


def test_command_when_it_collects_then_neither_pandas_nor_dagster_is_loaded(
    tmp_path: Path, broker: EmbeddedBroker
) -> None:
    plant = SmallPlant(tmp_path, broker, sources="modbus mqtt opc_ua")
    program = (
        "import sys\n"
        "from gl_assets.cli.running.collect import collect\n"
        "try:\n"
        "    collect(['--for', '2'])\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 0, ended.code\n"
        "loaded = [m for m in sys.modules if m.split('.')[0] in ('pandas', 'dagster')]\n"
        "assert not loaded, loaded[:5]\n"
        "assert 'pyarrow' in sys.modules and 'asyncua' in sys.modules\n"
    )
    environment = {**os.environ, "GL_CONFIG": str(plant.config_path), "GL_HOME": str(plant.home)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "event=collector_ended" in done.stderr
