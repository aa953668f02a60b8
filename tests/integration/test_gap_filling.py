"""Gaps filled from a real OPC UA server's history: rows, ledger, counts, checks; failures; doing it twice."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import pytest_asyncio
from asyncua import ua

from gl_assets.asset_keys import HOURLY_READINGS
from gl_assets.scada import gap_filling
from gl_assets.scada.gap_job import build_gap_filling_job
from gl_assets.scada.run import run_windows
from resources.core.clock import to_micros
from resources.core.readings import ReadingBatch, readings_batch
from resources.databases.timescale.derived.hours import due_hours, hour_revision, record_hour
from resources.databases.timescale.rework.gap_work import GIVE_UP_AFTER, GapBook
from resources.databases.timescale.rework.gaps import read_gaps, write_gaps
from resources.integrations import Integrations
from resources.wiring import TimescaleResource, build_resources
from tests.integration.dagster_plant import HOUR, Plant
from tests.opc_ua_server import PlainServer, node_id

MINUTE = timedelta(minutes=1)
SENSORS = ("B1/P", "B1/T")


@dataclass(frozen=True)
class Gap:
    source: str
    since: datetime
    until: datetime | None
    reason: str = "unreachable"


def configuration(server: PlainServer, **more: Any) -> Integrations:
    tags = [{"sensor_id": s, "unit": "bar", "node_id": node_id(s)} for s in SENSORS]
    source = {
        "kind": "opc_ua",
        "endpoint_url": server.url,
        "insecure_no_security": True,
        "history": True,
        "connect_timeout": "5s",
        "tags": tags,
        **more,
    }
    return Integrations.model_validate(
        {"site": "plant", "start": HOUR, "window": "15m", "collector": {"name": "c1"}, "sources": {"server": source}}
    )


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[PlainServer]:
    """A server that has kept a value per minute of the hour, for both sensors."""
    running = PlainServer()
    await running.start()
    for sensor in SENSORS:
        node = await running.add(sensor)
        await running.historize(node)
        for minute in range(60):
            await running.keep(node, HOUR + minute * MINUTE, float(minute))
    yield running
    await running.stop()


def live(plant: Plant, minutes: Iterable[int], shift: float = 0.0) -> None:
    """Let the collector receive the values of some minutes of the hour."""
    for sensor in SENSORS:
        chosen = list(minutes)
        times = [to_micros(HOUR + minute * MINUTE) for minute in chosen]
        keys = [plant.catalog.key(sensor)] * len(chosen)
        values = [minute + shift for minute in chosen]
        batch = readings_batch(times, keys, values, [0] * len(chosen), to_micros(plant.clock.now()))
        plant.buffer.append(ReadingBatch("server", readings=batch))
    plant.buffer.commit()


def collected(home: Path, config: Integrations, url: str, minutes: Iterable[int], until: int = 15) -> Plant:
    """A plant whose windows up to minute `until` are closed and stored, of which the collector received `minutes`."""
    plant = Plant(home, config)
    plant.move_to(HOUR + 14 * MINUTE)
    live(plant, minutes)
    plant.move_to(HOUR + until * MINUTE + timedelta(seconds=10))
    assert run_windows(config, home, url).failed == []
    return plant


def note_gap(url: str, since: float, until: float | None, source: str = "server") -> None:
    with psycopg.connect(url) as connection:
        end = None if until is None else HOUR + until * MINUTE
        write_gaps(connection, site="plant", collector="c1", gaps=[Gap(source, HOUR + since * MINUTE, end)])


async def fill(config: Integrations, url: str, **op_config: Any) -> tuple[dict[str, Any], dg.ExecuteInProcessResult]:
    """Run the job in a thread, since the server runs in this loop; return what it says of itself."""

    def run() -> dg.ExecuteInProcessResult:
        job = build_gap_filling_job(config)
        resources = {**build_resources(config), "timescale": TimescaleResource(url=url)}
        return job.execute_in_process(
            run_config={"ops": {"fill_gaps": {"config": op_config}}}, resources=resources, raise_on_error=True
        )

    result = await asyncio.to_thread(run)
    (event,) = [e for e in result.all_node_events if e.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}, result


def query(url: str, statement: str, *terms: Any) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement, terms).fetchall()


def state(url: str) -> list[Any]:
    """Everything that filling may change."""
    tables = ("scada.readings", "scada.rejected_readings", "scada.window_ledger", "scada.window_sources", "scada.gaps")
    return [query(url, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables]


def checks(result: dg.ExecuteInProcessResult, check: str = "every_gap_is_filled") -> dict[str | None, bool]:
    return {e.partition: e.passed for e in result.get_asset_check_evaluations() if e.check_name == check}


async def test_fill_when_a_window_has_a_gap_then_its_history_is_merged_and_the_check_recovers(
    server: PlainServer, database_url: str, tmp_path: Path
):
    config = configuration(server)
    await asyncio.to_thread(collected, tmp_path, config, database_url, [m for m in range(15) if not 5 <= m < 8])
    note_gap(database_url, 5, 8)
    with psycopg.connect(database_url) as connection:
        hour = hour_revision(connection, HOUR, site="plant")
        record_hour(connection, HOURLY_READINGS.to_user_string(), HOUR, revision=hour, rows=1, run_id="r")

    told, result = await fill(config, database_url)

    assert told["failed"] == {}
    assert (told["rows"], told["windows"], told["judged"]) == (6, 1, 1)
    numbers = query(
        database_url, "SELECT sensor_id, count(*), sum(value) FROM scada.sensor_readings GROUP BY 1 ORDER BY 1"
    )
    assert numbers == [(sensor, 15, 105.0) for sensor in SENSORS]
    by_collector = "SELECT collector, rows, deduplicated, stored_revision FROM scada.window_ledger ORDER BY 1"
    assert query(database_url, by_collector) == [("c1", 24, 0, 1), ("c1-history", 6, 0, 1)]
    (gap,) = query(database_url, "SELECT filled_by, rows_filled, judged_to, last_error FROM scada.gaps")
    assert gap == ("history of server", 6, HOUR + 8 * MINUTE, None)
    assert checks(result) == {"2026-11-21T10:00": True}
    (materialised,) = result.get_asset_materialization_events()
    assert materialised.partition == "2026-11-21T10:00"
    shown = materialised.step_materialization_data.materialization.metadata
    assert (shown["rows"].value, shown["from_history"].value) == (30, 6)
    with psycopg.connect(database_url) as connection:
        # as after a late revision: the hour is due again
        assert [found.hour for found in due_hours(connection, [HOURLY_READINGS.to_user_string()], site="plant")] == [
            HOUR
        ]


async def test_fill_when_it_is_done_twice_then_nothing_changes(server: PlainServer, database_url: str, tmp_path: Path):
    config = configuration(server)
    await asyncio.to_thread(collected, tmp_path, config, database_url, [0, 1, 2])
    note_gap(database_url, 3, 14)
    await fill(config, database_url)
    before = state(database_url)

    again, _ = await fill(config, database_url, again=True)
    assert again["windows"] == 0
    assert state(database_url) == before

    # as if the process had died before the gap was noted as filled
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE scada.gaps SET filled_at = NULL, filled_to = NULL")
    repeated, _ = await fill(config, database_url)

    assert (repeated["windows"], repeated["rows"]) == (1, 0)
    assert state(database_url)[:4] == before[:4]


async def test_fill_when_a_later_revision_comes_then_what_history_filled_stays(
    server: PlainServer, database_url: str, tmp_path: Path
):
    config = configuration(server)
    plant = await asyncio.to_thread(collected, tmp_path, config, database_url, [0, 1, 2])
    note_gap(database_url, 3, 14)
    await fill(config, database_url)

    # a device hands in what it had kept: one value that history has, too, and one that differs
    live(plant, [5])
    live(plant, [6], shift=0.5)
    plant.move_to(plant.clock.now() + 2 * MINUTE)
    assert (await asyncio.to_thread(run_windows, config, tmp_path, database_url)).failed == []

    assert query(database_url, "SELECT count(*), count(DISTINCT (sensor_id, time)) FROM scada.sensor_readings") == [
        (30, 30)
    ]
    ledger = query(
        database_url,
        "SELECT collector, stored_revision, rows, rejected, deduplicated FROM scada.window_ledger ORDER BY 1",
    )
    # received after history was read? no: the buffer's clock stands in the past, so history is the later arrival
    assert ledger == [("c1", 2, 6, 2, 2), ("c1-history", 1, 24, 0, 0)]
    assert query(database_url, "SELECT DISTINCT reasons[1] FROM scada.rejected_readings")[0][0].startswith(
        "the same sensor"
    )


async def test_fill_when_no_collector_ran_then_whole_windows_are_filled(
    server: PlainServer, database_url: str, tmp_path: Path
):
    config = configuration(server)
    await asyncio.to_thread(collected, tmp_path, config, database_url, range(15))
    note_gap(database_url, 14.5, 47)

    told, result = await fill(config, database_url)

    # the margin reaches a value beyond the gap; in the window before, everything stands already
    assert (told["windows"], told["rows"]) == (4, 2 * (48 - 15))
    assert checks(result) == {f"2026-11-21T10:{minute}": True for minute in ("00", "15", "30", "45")}
    rows = query(
        database_url, "SELECT window_start, rows FROM scada.window_ledger WHERE collector = 'c1-history' ORDER BY 1"
    )
    assert [count for _, count in rows] == [30, 30, 6]
    assert query(database_url, "SELECT count(*) FROM scada.sensor_readings") == [(96,)]


async def test_fill_when_the_server_is_away_then_it_is_tried_again_after_a_pause(database_url: str, tmp_path: Path):
    away = PlainServer()
    config = configuration(away)
    await asyncio.to_thread(collected, tmp_path, config, database_url, [0, 1, 2])
    note_gap(database_url, 3, 14)

    told, result = await fill(config, database_url)

    assert "refused" in told["failed"]["server from 2026-11-21T10:03:00Z"]
    assert checks(result) == {"2026-11-21T10:00": False}
    ((attempts, error, pause),) = query(
        database_url, "SELECT attempts, last_error, next_attempt_at - now() FROM scada.gaps"
    )
    assert attempts == 1
    assert "refused" in error
    assert timedelta(0) < pause <= MINUTE
    waiting, _ = await fill(config, database_url)
    assert (waiting["failed"], waiting["windows"], waiting["judged"]) == ({}, 0, 0)

    await away.start()
    for sensor in SENSORS:
        node = await away.add(sensor)
        await away.historize(node)
        await away.keep(node, HOUR + 4 * MINUTE, 4.0)
    told, result = await fill(config, database_url, again=True)
    await away.stop()
    assert (told["failed"], told["rows"]) == ({}, 2)
    assert checks(result) == {"2026-11-21T10:00": True}


async def test_fill_when_a_source_has_no_history_then_the_gap_shows_on_the_partition(
    server: PlainServer, database_url: str, tmp_path: Path
):
    config = configuration(server, history=False)
    await asyncio.to_thread(collected, tmp_path, config, database_url, range(15))
    note_gap(database_url, 14, 20)

    told, result = await fill(config, database_url)

    assert told["judged"] == 2
    assert checks(result) == {"2026-11-21T10:00": False, "2026-11-21T10:15": False}
    red = [e for e in result.get_asset_check_evaluations() if e.check_name == "every_gap_is_filled"]
    assert {e.severity for e in red} == {dg.AssetCheckSeverity.WARN}
    assert red[0].metadata["first"].value[0]["reason"] == "unreachable"
    # done with: it is not looked at again
    told, _ = await fill(config, database_url)
    assert told["judged"] == 0


async def test_fill_when_history_holds_nothing_then_it_is_given_up_in_the_end(
    server: PlainServer, database_url: str, tmp_path: Path
):
    config = configuration(server)
    await asyncio.to_thread(collected, tmp_path, config, database_url, range(15), 75)
    note_gap(database_url, 61, 70)

    for _ in range(GIVE_UP_AFTER):
        told, _ = await fill(config, database_url, again=True)
        assert "its history holds nothing" in next(iter(told["failed"].values()))

    told, _ = await fill(config, database_url)
    assert told["failed"] == {}
    ((message,),) = query(database_url, "SELECT message FROM scada.events WHERE event_type = 'gap_not_filled'")
    assert "is left as it is" in message


async def test_fill_when_one_tag_has_no_history_then_the_rest_is_filled_and_the_check_names_it(
    server: PlainServer, database_url: str, tmp_path: Path
):
    await server.added[1].unset_attr_bit(ua.AttributeIds.AccessLevel, ua.AccessLevel.HistoryRead)
    config = configuration(server)
    await asyncio.to_thread(collected, tmp_path, config, database_url, [0, 1, 2])
    note_gap(database_url, 3, 14)

    told, result = await fill(config, database_url)

    assert told["rows"] == 12
    assert checks(result) == {"2026-11-21T10:00": False}
    with psycopg.connect(database_url) as connection:
        (gap,) = read_gaps(connection)
    assert (gap.filled_at is not None, gap.without_history, gap.rows_filled) == (True, ["B1/T"], 12)
    await server.added[1].set_attr_bit(ua.AttributeIds.AccessLevel, ua.AccessLevel.HistoryRead)


async def test_fill_when_history_is_long_then_one_run_does_a_part_and_the_next_goes_on(
    server: PlainServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gap_filling, "MOST_WINDOWS", 2)
    config = configuration(server, history_margin="0s")
    await asyncio.to_thread(collected, tmp_path, config, database_url, [0])
    note_gap(database_url, 1, 59)

    first, _ = await fill(config, database_url)
    assert (first["windows"], first["filled"]) == (2, [])
    assert query(database_url, "SELECT filled_to FROM scada.gaps") == [(HOUR + 30 * MINUTE,)]
    second, result = await fill(config, database_url)

    assert (first["rows"] + second["rows"], len(second["filled"])) == (2 * 58, 1)
    assert set(checks(result).values()) == {True}
    assert query(database_url, "SELECT count(*) FROM scada.sensor_readings") == [(2 * 59,)]


async def test_fill_when_most_of_history_is_out_of_range_then_nothing_is_stored_and_the_reason_is_kept(
    server: PlainServer, database_url: str, tmp_path: Path
):
    tags = [{"sensor_id": s, "unit": "bar", "node_id": node_id(s), "maximum": 4} for s in SENSORS]
    config = configuration(server, tags=tags)
    await asyncio.to_thread(collected, tmp_path, config, database_url, [0, 1, 2])
    note_gap(database_url, 3, 14)

    told, _ = await fill(config, database_url)

    assert "rows are rejected" in told["failed"]["server from 2026-11-21T10:03:00Z"]
    assert query(database_url, "SELECT collector FROM scada.window_ledger") == [("c1",)]


async def test_fill_when_some_of_history_is_rejected_then_twice_changes_nothing(
    server: PlainServer, database_url: str, tmp_path: Path
):
    tags = [{"sensor_id": s, "unit": "bar", "node_id": node_id(s), "maximum": 12} for s in SENSORS]
    config = configuration(server, tags=tags)
    await asyncio.to_thread(collected, tmp_path, config, database_url, [0, 1, 2])
    note_gap(database_url, 3, 14)
    told, _ = await fill(config, database_url)
    assert told["failed"] == {}
    before = state(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE scada.gaps SET filled_at = NULL, filled_to = NULL")
    told, _ = await fill(config, database_url)
    assert (told["windows"], told["rows"]) == (1, 0)
    assert state(database_url)[:4] == before[:4]
    ((_, rejected),) = query(
        database_url, "SELECT collector, rejected FROM scada.window_ledger WHERE collector = 'c1-history'"
    )
    assert rejected == 4  # 13 and, from the margin, 14, of both sensors


async def test_fill_when_texts_have_history_then_they_are_filled_too(
    server: PlainServer, database_url: str, tmp_path: Path
):
    node = await server.add("state", "off")
    await server.historize(node)
    for minute, text in ((4, "on"), (5, "off")):
        await server.keep(node, HOUR + minute * MINUTE, text)
    tags = [{"sensor_id": "B1/STATE", "data": "text", "node_id": node_id("state")}]
    config = configuration(server, tags=tags)
    note_gap(database_url, 3, 14)

    told, _ = await fill(config, database_url)

    assert told["rows"] == 2
    texts = "SELECT value, collector FROM scada.text_readings ORDER BY time"
    assert query(database_url, texts) == [("on", "c1-history"), ("off", "c1-history")]
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE scada.gaps SET filled_at = NULL, filled_to = NULL")
    told, _ = await fill(config, database_url)
    assert told["rows"] == 0


async def test_fill_when_another_process_is_filling_then_nothing_is_done(server: PlainServer, database_url: str):
    note_gap(database_url, 3, 14)
    with (
        psycopg.connect(database_url, autocommit=True) as connection,
        GapBook(connection, site="plant", collector="c1").only_filler() as mine,
    ):
        assert mine
        told, _ = await fill(configuration(server), database_url)
    assert (told["busy"], told["windows"]) == (True, 0)
