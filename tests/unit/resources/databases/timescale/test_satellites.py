"""Ledger, counts, gaps, the live view and maintenance, each on a real database."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from resources.core.clock import to_micros
from resources.core.tags import Sensor
from resources.databases.timescale import maintenance
from resources.databases.timescale.connection import connect
from resources.databases.timescale.migrate import migrate
from resources.databases.timescale.notes.latest import write_latest
from resources.databases.timescale.rework.gaps import mark_filled, read_gaps, write_gaps
from resources.databases.timescale.window_store import ledger
from resources.databases.timescale.window_store.counts import StoredCounts, counts_by_source
from resources.databases.timescale.window_store.readings import ReadingsStore
from tests.integration.store_builders import END, START, rejects, stored, texts, window

SENSORS = (Sensor("a", "bar", "plc"), Sensor("b", "1", "plc", is_text=True))


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, autocommit=True) as opened:
        yield opened


@dataclass
class Latest:
    sensor_keys: np.ndarray
    times_us: np.ndarray
    values: np.ndarray
    statuses: np.ndarray
    texts: list


@dataclass
class Gap:
    source: str
    since: datetime
    until: datetime | None = None
    reason: str = field(default="connection lost")


def latest(key: int, second: int, value: float = np.nan, text: str | None = None, status: int = 0) -> Latest:
    at = to_micros(START) + second * 1_000_000
    return Latest(np.array([key]), np.array([at]), np.array([value]), np.array([status], dtype=np.uint8), [text])


def _latest(connection: psycopg.Connection) -> list:
    return connection.execute(
        "SELECT sensor_id, value, text_value, unit, status, source, site FROM scada.latest_readings ORDER BY 1"
    ).fetchall()


def test_latest_when_numbers_and_texts_come_then_each_sensor_has_a_row(connection: psycopg.Connection):
    assert write_latest(connection, site="north", sensors=SENSORS, rows=latest(0, 5, 1.5)) == 1
    write_latest(connection, site="north", sensors=SENSORS, rows=latest(1, 5, text="on\x00", status=1))

    assert _latest(connection) == [
        ("a", 1.5, None, "bar", "good", "plc", "north"),
        ("b", None, "on\ufffd", "1", "uncertain", "plc", "north"),
    ]


def test_latest_when_an_older_reading_comes_then_the_newer_one_stays(connection: psycopg.Connection):
    write_latest(connection, site="north", sensors=SENSORS, rows=latest(0, 5, 1.5))

    assert write_latest(connection, site="north", sensors=SENSORS, rows=latest(0, 4, 9.0)) == 0
    assert write_latest(connection, site="north", sensors=SENSORS, rows=latest(0, 5, 2.0)) == 1
    assert _latest(connection)[0][1] == 2.0


def test_latest_when_nothing_changed_then_nothing_is_sent(connection: psycopg.Connection):
    empty = Latest(np.array([], int), np.array([], int), np.array([]), np.array([], np.uint8), [])

    assert write_latest(connection, site="north", sensors=SENSORS, rows=empty) == 0


def test_gap_when_it_ends_then_its_row_gets_the_end(connection: psycopg.Connection):
    write_gaps(connection, site="north", collector="edge", gaps=[Gap("plc", START)])
    assert connection.execute('SELECT source, "from", "to" FROM scada.gaps').fetchall() == [("plc", START, None)]

    write_gaps(connection, site="north", collector="edge", gaps=[Gap("plc", START, END, "back")])

    [gap] = read_gaps(connection, site="north")
    assert (gap.source, gap.since, gap.until, gap.reason, gap.filled_at) == ("plc", START, END, "back", None)


def test_gap_when_filled_then_it_is_no_longer_among_the_unfilled(connection: psycopg.Connection):
    write_gaps(connection, site="north", collector="edge", gaps=[Gap("plc", START, END), Gap("plc", END)])
    newest, oldest = read_gaps(connection)

    mark_filled(connection, oldest, by="historian pi_1")

    assert read_gaps(connection, unfilled_only=True) == [newest]
    assert read_gaps(connection, site="south") == []
    assert read_gaps(connection)[1].filled_by == "historian pi_1"


def test_stored_revisions_when_windows_are_stored_then_each_has_its_revision(
    database_url: str, connection: psycopg.Connection
):
    with ReadingsStore(database_url) as store:
        store.replace_window(window([(0, 1, 1.0)], 3))

    assert ledger.stored_revisions(connection, site="north", collector="edge") == {START: 3}
    assert ledger.stored_revisions(connection, site="north", collector="edge", since=END) == {}
    assert ledger.stored_revisions(connection, site="south", collector="edge") == {}


def test_counts_when_windows_are_stored_then_they_are_those_of_the_tables(
    database_url: str, connection: psycopg.Connection
):
    with ReadingsStore(database_url) as store:
        store.replace_window(
            window([(0, 1, 1.0), (0, 2, 1.0), (1, 1, 1.0)], texts=texts([(1, "a")]), rejects=rejects([{}]))
        )
        store.replace_window(window([(0, 1, 1.0)], collector="other", deduplicated={"opc_ua_1": 3}))

    counts = counts_by_source(connection, site="north", collector="edge")
    assert counts == {"modbus_1": StoredCounts(1, 0, 1, 0), "opc_ua_1": StoredCounts(3, 0, 0, 0)}
    assert counts_by_source(connection, site="north", collector="other") == {"opc_ua_1": StoredCounts(0, 0, 0, 4)}
    assert counts_by_source(connection, site="north", collector="edge", since=END) == {}


def test_maintenance_when_readings_are_old_then_whole_chunks_go(database_url: str, connection: psycopg.Connection):
    with ReadingsStore(database_url) as store:
        store.replace_window(window([(0, 1, 1.0)]))
    maintenance.summarise(connection, START)
    maintenance.analyze(connection)

    assert maintenance.drop_before(connection, START).number == 0
    assert maintenance.drop_before(connection, START + timedelta(days=1)).number == 1
    assert stored(database_url) == []


def test_maintenance_when_plain_postgresql_then_old_rows_are_deleted(empty_database_url: str):
    migrate(empty_database_url, with_timescale=False)
    with ReadingsStore(empty_database_url) as store:
        store.replace_window(window([(0, 1, 1.0), (0, 5, 1.0)]))
    with connect(empty_database_url, autocommit=True) as plain:
        maintenance.summarise(plain, START)
        assert maintenance.drop_before(plain, START + timedelta(seconds=2)) == maintenance.Dropped(1, "rows")


def test_summarise_when_the_chunk_is_locked_then_it_is_left_to_autovacuum(
    database_url: str, connection: psycopg.Connection
):
    with ReadingsStore(database_url) as store:
        store.replace_window(window([(0, 1, 1.0)]))
    with connect(database_url) as holder:
        holder.execute("LOCK TABLE scada.readings IN SHARE UPDATE EXCLUSIVE MODE")

        maintenance.summarise(connection, START)

    assert datetime.now(UTC) > START.replace(year=2000)


def test_large_window_when_stored_then_its_blocks_are_summarised(database_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(maintenance, "SUMMARISE_ROWS", 1)
    with ReadingsStore(database_url) as store:
        store.replace_window(window([(0, n, 1.0) for n in range(800)]))

    with connect(database_url, autocommit=True) as connection:
        # nothing is left to summarise
        found = connection.execute(
            "SELECT sum(brin_summarize_new_values(indexrelid)) FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
            " WHERE c.relam = (SELECT oid FROM pg_am WHERE amname = 'brin')"
            " AND indrelid = (SELECT show_chunks('scada.readings'))"
        ).fetchone()
    assert found == (0,)
