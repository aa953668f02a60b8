"""What the collector writes into a real database, and what it reads from it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from resources.core.clock import ManualClock, SystemClock, to_micros
from resources.core.readings import ReadingBatch, readings_batch
from resources.core.tags import Sensor, SensorCatalog
from resources.core.windows import WindowGrid
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.model import BufferFullError
from sensors.collector.database import DatabaseMirror, Origin
from sensors.collector.live_view import LiveView
from tests.faults.small_plant import until

CATALOG = SensorCatalog([Sensor(f"b1.s{n}", "bar", "boilers") for n in range(3)])


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[WindowBuffer]:
    with WindowBuffer(
        tmp_path / "buffer",
        collector="edge",
        grid=WindowGrid(timedelta(minutes=1)),
        start=datetime.now(UTC) - timedelta(days=1),
        catalog=CATALOG,
        retention=timedelta(0),
    ) as buffer:
        yield buffer


@pytest.fixture
def live() -> LiveView:
    return LiveView(CATALOG.sensors, clock=SystemClock())


@pytest.fixture
def mirror(database_url: str, buffer: WindowBuffer, live: LiveView) -> Iterator[DatabaseMirror]:
    mirror = DatabaseMirror(
        database_url, Origin("site", "edge"), live, buffer, clock=SystemClock(), watch_registry=True
    )
    mirror.start()
    yield mirror
    mirror.stop()


def offer(live: LiveView, value: float) -> datetime:
    now = datetime.now(UTC)
    live.offer(ReadingBatch("boilers", readings=readings_batch([to_micros(now)], [1], [value], 0, to_micros(now))))
    return now


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


async def test_latest_when_a_reading_comes_then_in_the_table(
    database_url: str, mirror: DatabaseMirror, live: LiveView
) -> None:
    now = offer(live, 7.5)
    query = "SELECT sensor_id, time, value, unit, status, source, site FROM scada.latest_readings"
    await until(lambda: rows(database_url, query) == [("b1.s1", now, 7.5, "bar", "good", "boilers", "site")])
    await until(lambda: mirror.lag_s == 0.0)


async def test_latest_when_the_mirror_ends_then_the_last_reading_is_written(
    database_url: str, mirror: DatabaseMirror, live: LiveView
) -> None:
    await until(lambda: [f.level for f in mirror.findings() if f.name == "database"] == ["green"])
    offer(live, 8.5)
    await asyncio.to_thread(mirror.stop)
    assert rows(database_url, "SELECT value FROM scada.latest_readings") == [(8.5,)]


async def test_gaps_when_opened_closed_and_taken_back_then_the_table_follows(
    database_url: str, mirror: DatabaseMirror, buffer: WindowBuffer
) -> None:
    since = datetime.now(UTC) - timedelta(minutes=5)
    query = 'SELECT source, "from", "to", reason FROM scada.gaps ORDER BY source'
    buffer.open_gap("boilers", since, "unreachable: no reply")
    buffer.open_gap("furnace", since, "unreachable: no reply")
    await until(lambda: [(r[0], r[2]) for r in rows(database_url, query)] == [("boilers", None), ("furnace", None)])
    until_ = since + timedelta(minutes=1)
    buffer.close_gap("boilers", until_)
    buffer.close_gap("furnace", since - timedelta(seconds=1))
    expected = [("boilers", since, until_, "unreachable: no reply"), ("furnace", since, since, "unreachable: no reply")]
    await until(lambda: rows(database_url, query) == expected)


async def test_ledger_when_a_window_is_stored_then_the_buffer_hears_of_it(
    database_url: str, tmp_path: Path, live: LiveView
) -> None:
    clock = ManualClock(datetime.now(UTC))
    with WindowBuffer(
        tmp_path / "other",
        collector="edge",
        grid=WindowGrid(timedelta(minutes=1)),
        start=clock.now() - timedelta(days=1),
        catalog=CATALOG,
        clock=clock,
    ) as buffer:
        now_us = to_micros(clock.now())
        buffer.append(ReadingBatch("boilers", readings=readings_batch([now_us], [0], [1.0], 0, now_us)))
        buffer.commit()
        clock.advance(120)
        buffer.tick()
        window = next(w for w in buffer.held_windows() if w.rows)
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "INSERT INTO scada.window_ledger (site, collector, window_start, stored_revision, rows, rejected,"
                " complete, stored_at, run_id) VALUES ('site', 'edge', %s, %s, 1, 0, true, now(), 'run')",
                (window.window_start, window.revision),
            )
        mirror = DatabaseMirror(database_url, Origin("site", "edge"), live, buffer, clock=clock)
        mirror.start()
        await until(
            lambda: (
                {w.window_start: w.stored_revision for w in buffer.held_windows()}[window.window_start]
                == window.revision
            )
        )
        await asyncio.to_thread(mirror.stop)


async def test_registry_when_agents_report_then_its_freshness_is_a_finding(
    database_url: str, mirror: DatabaseMirror
) -> None:
    def finding() -> str:
        return next(f.detail for f in mirror.findings() if f.name == "agents.registry")

    await until(lambda: "no agent has ever" in finding())
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO agents.registry (agent_id, agent_name, agent_type, capabilities, status, last_heartbeat)"
            " VALUES ('GL-002', 'x', 'y', '{}', 'online', now())"
        )
    await until(lambda: finding().startswith("newest heartbeat"))


async def test_ledger_when_the_buffer_cannot_note_it_then_the_database_is_not_held_to_be_lost(
    database_url: str, buffer: WindowBuffer, live: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def refuse(_: object) -> None:
        asked.append(1)
        raise BufferFullError("window buffer: the index cannot be written; free disk space")

    monkeypatch.setattr(buffer, "stored_revisions", refuse)
    mirror = DatabaseMirror(database_url, Origin("site", "edge"), live, buffer, clock=SystemClock())
    mirror.start()
    await until(lambda: bool(asked))
    now = offer(live, 9.5)
    await until(lambda: rows(database_url, "SELECT time FROM scada.latest_readings") == [(now,)])
    await asyncio.to_thread(mirror.stop)
    assert [finding.level for finding in mirror.findings()] == ["green"]
