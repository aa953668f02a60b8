"""A kiln that leaves its normal state: scored live by the detectors in the database, and by those kept without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from resources.core.clock import SystemClock, to_micros
from resources.core.tags import SensorCatalog
from resources.databases.timescale.anomaly.anomalies import AnomalyRow, ScoredWindow, list_anomalies, replace_window
from resources.databases.timescale.anomaly.anomaly_models import StoredModel, store_model
from resources.databases.timescale.anomaly.live_anomalies import LiveWindow, replace_live
from resources.embedded.postgres import EmbeddedPostgres
from resources.scada.connector import Emit, ScadaClient, SourceFacts, StatusSink
from sensors.collector.anomalies.models import MODELS_FILE
from sensors.collector.anomalies.service import LiveAnomalies
from sensors.collector.assembly import Collector, Doors
from tests.conftest import fresh_database
from tests.unit.sensors.collector.anomalies.plant import CONFIG, NOON, SENSORS, batch, fingerprint, signal, trained
from tests.unit.sensors.collector.bench import until

BEATS_A_SECOND = 10


class Kiln:
    """A source that sends its three values ten times a second."""

    name, kind = "line", "modbus"

    def __init__(self) -> None:
        self.shift = 0.0
        """Added to the second value."""

    async def run(self, emit: Emit, status: StatusSink) -> None:
        status.connected({})
        values = signal(10_000, 7)
        for row in values:
            now_us = to_micros(SystemClock().now())
            await emit(batch(now_us + np.arange(3), [0, 1, 2], row + np.array([0.0, self.shift, 0.0])))
            await asyncio.sleep(1 / BEATS_A_SECOND)

    async def probe(self) -> SourceFacts:
        return SourceFacts(self.name, self.kind, "", "none")


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


def train(url: str) -> None:
    model = StoredModel("kiln", fingerprint(), trained().to_json(), SENSORS, NOON, NOON, 800, run_id="test")
    with psycopg.connect(url) as connection:
        store_model(connection, model, site=CONFIG.site)


def found(url: str) -> list[AnomalyRow]:
    with psycopg.connect(url) as connection:
        return list_anomalies(connection, site=CONFIG.site)


def collector_of(kiln: Kiln, home: Path, url: str | None) -> Collector:
    def build(_: object, __: SensorCatalog, ___: object) -> list[ScadaClient]:
        return [kiln]

    return Collector(CONFIG, home, database_url=url, build=build)


async def scored(collector: Collector) -> dict[str, float]:
    """Return the collector's figures of anomalies, as /metrics has them."""
    address = json.loads((collector._home / "collector.json").read_text())["url"]
    async with httpx.AsyncClient(timeout=30) as client:
        text = (await client.get(f"{address}/metrics")).text
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("gl_anomal") and "le" not in sample.labels
    }


async def test_kiln_when_it_leaves_its_normal_state_then_the_table_says_so_before_the_window_is_stored(
    tmp_path: Path, url: str
) -> None:
    train(url)
    kiln, stop = Kiln(), asyncio.Event()
    collector = collector_of(kiln, tmp_path, url)
    running = asyncio.create_task(collector.run(stop, Doors()))
    await until(lambda: (tmp_path / MODELS_FILE).exists() and (tmp_path / "collector.json").exists())
    async with asyncio.timeout(60):
        while not (await scored(collector)).get("gl_anomaly_distance", 9.0) < 1.0:  # the first rows are there
            await asyncio.sleep(0.2)
    kiln.shift = 50.0
    rows: list[AnomalyRow] = []
    async with asyncio.timeout(60):
        while not rows:
            await asyncio.sleep(0.2)
            rows = [row for row in await asyncio.to_thread(found, url) if row.kind == "multivariate"]
    figures = await scored(collector)
    stop.set()
    await running
    assert (rows[0].equipment, rows[0].sensor_id, rows[0].found_by) == ("kiln", "kiln.b", "collector")
    assert (figures["gl_anomaly_standing"], figures["gl_anomaly_model_version"]) == (1.0, 1.0)
    assert figures["gl_anomaly_latency_seconds_count"] > 0
    assert figures["gl_anomaly_dropped_batches_total"] == 0
    assert rows[0].window_start is not None


def row(second: int, sensor_id: str = "kiln.b") -> AnomalyRow:
    begins = NOON + timedelta(seconds=second)
    return AnomalyRow("kiln", "multivariate", begins, sensor_id, 1.0, 0.0, 2.0, begins, 1, found_by="collector")


def test_window_when_more_of_it_is_known_then_exactly_what_is_known_now(url: str) -> None:
    def stands(since: int, *rows: AnomalyRow) -> int:
        window = LiveWindow("kiln", NOON, NOON + timedelta(seconds=since), rows)
        with psycopg.connect(url) as connection:
            return replace_live(connection, window, site=CONFIG.site, run_id="collector/edge")

    assert stands(0, row(4), row(10)) == 2
    # the same stretch, and now another sensor explains it best
    assert stands(0, row(4, "kiln.c"), row(20)) == 2
    assert stands(0, row(4, "kiln.c"), row(20)) == 2
    # a collector that was started in between knows nothing of what came before
    assert stands(15, row(30)) == 1
    own = [(one.time.second, one.sensor_id) for one in found(url) if one.window_start == NOON]
    assert own == [(30, "kiln.b"), (4, "kiln.c")]


def test_window_when_the_asset_has_scored_it_then_nothing_is_written(url: str) -> None:
    with psycopg.connect(url) as connection:
        replace_window(connection, NOON, [], [ScoredWindow("kiln", 1, 1, 30, 0)], site=CONFIG.site, run_id="asset")
    window = LiveWindow("kiln", NOON, NOON, (row(4),))
    with psycopg.connect(url) as connection:
        assert replace_live(connection, window, site=CONFIG.site, run_id="collector/edge") == 0
    assert [one for one in found(url) if one.window_start == NOON] == []


async def test_kiln_when_there_is_no_database_then_it_is_scored_by_the_detectors_that_were_kept(tmp_path: Path) -> None:
    content = {"kiln": {"fingerprint": fingerprint(), "version": 4, "model": json.loads(trained().to_json())}}
    (tmp_path / MODELS_FILE).write_text(json.dumps(content))
    kiln, stop = Kiln(), asyncio.Event()
    kiln.shift = 50.0
    collector = collector_of(kiln, tmp_path, None)
    running = asyncio.create_task(collector.run(stop, Doors()))
    await until((tmp_path / "collector.json").exists)
    async with asyncio.timeout(60):
        while not (await scored(collector)).get("gl_anomaly_unwritten_windows"):
            await asyncio.sleep(0.2)
    figures = await scored(collector)
    stop.set()
    await running
    assert (figures["gl_anomaly_standing"], figures["gl_anomaly_model_version"]) == (1.0, 4.0)
    assert collector.buffer.counts()["line"].buffered > 0


def test_collector_when_live_scoring_is_off_then_nothing_is_loaded_for_it(tmp_path: Path) -> None:
    off = CONFIG.model_copy(update={"anomalies": CONFIG.anomalies.model_copy(update={"live": False})})
    collector = Collector(off, tmp_path, build=lambda *_: [Kiln()])
    assert collector.anomalies is None
    collector.buffer.close()


def test_exchange_when_the_tables_are_of_another_version_then_the_live_view_goes_on(
    tmp_path: Path, empty_database_url: str
) -> None:
    scoring = LiveAnomalies(CONFIG, home=tmp_path, clock=SystemClock())
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        scoring.exchange(connection)
        scoring.exchange(connection)
        assert connection.execute("SELECT 1").fetchone() == (1,)
