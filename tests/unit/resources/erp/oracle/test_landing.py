"""Oracle's records in the database: landed once, moved, withdrawn and found again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from resources.core.errors import AuthError, ProtocolError
from resources.erp.connector import Changed, Day, Whole
from resources.erp.landed.changes import land_changes
from resources.erp.landed.landing import LandedDay, Landing, land_day, land_snapshot
from tests.unit.resources.erp.oracle.support import DAY, NOW, OracleServer


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url) as connection:
        yield connection


def landing(oracle: OracleServer, dataset: str, day: date | None) -> Landing:
    return Landing("oracle", dataset, day, oracle.config().datasets[dataset], "run")


def land(connection: psycopg.Connection[Any], oracle: OracleServer, dataset: str, day: date) -> LandedDay:
    with oracle.client() as client:
        found = land_day(
            connection, landing(oracle, dataset, day), client.fetch(dataset, Day(day)), now=datetime.now(UTC)
        )
    connection.commit()
    return found


def alive(connection: psycopg.Connection[Any], dataset: str) -> int:
    row = connection.execute(
        "SELECT count(*) FROM erp.landed_records WHERE dataset = %s AND deleted_at IS NULL", (dataset,)
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(("dataset", "rows"), [("energy_consumption", 120), ("financial_transactions", 52)])
def test_a_day_when_pulled_twice_is_stored_once(
    connection: psycopg.Connection[Any], oracle: OracleServer, dataset: str, rows: int
) -> None:
    first, second = (land(connection, oracle, dataset, DAY) for _ in range(2))
    assert (first.rows, first.written, first.duplicates) == (rows, rows, 0)
    assert (second.rows, second.written, second.vanished) == (rows, 0, 0)
    assert alive(connection, dataset) == rows


def test_lines_when_landed_are_known_by_batch_journal_and_number(
    connection: psycopg.Connection[Any], oracle: OracleServer
) -> None:
    land(connection, oracle, "financial_transactions", DAY)
    row = connection.execute(
        "SELECT source_key, raw::text FROM erp.landed_records ORDER BY source_key LIMIT 1"
    ).fetchone()
    assert row is not None
    raw = json.loads(row[1])
    names = (raw["parent"]["parent"]["JeBatchId"], raw["parent"]["JournalName"], raw["JeLineNumber"])
    assert row[0] == "/".join(map(str, names))


@pytest.mark.parametrize("kind", ["truncated", "repeat_page", "unauthorized", "drop"])
def test_a_pull_when_it_fails_in_the_middle_leaves_the_stored_day(
    connection: psycopg.Connection[Any], oracle: OracleServer, kind: str
) -> None:
    land(connection, oracle, "energy_consumption", DAY)
    oracle.control.misbehave(kind, times=20, after=1)
    with pytest.raises(Exception, match="page 2 of"):
        land(connection, oracle, "energy_consumption", DAY)
    connection.rollback()
    assert alive(connection, "energy_consumption") == 120


def test_a_client_when_its_user_is_taken_away_deletes_nothing(
    connection: psycopg.Connection[Any], oracle: OracleServer
) -> None:
    """An empty 200 would otherwise mark the whole day as vanished."""
    land(connection, oracle, "energy_consumption", DAY)
    oracle.control.hidden = {"meterReadings", "currenciesLOV"}
    with pytest.raises(AuthError, match="nothing stored is changed"):
        land(connection, oracle, "energy_consumption", DAY)
    connection.rollback()
    assert alive(connection, "energy_consumption") == 120


def test_a_count_when_higher_than_what_came_keeps_the_stored_day(
    connection: psycopg.Connection[Any], oracle: OracleServer
) -> None:
    oracle.control.misbehave("miscount")
    with pytest.raises(ProtocolError, match="counted 121 records but sent 120"):
        land(connection, oracle, "energy_consumption", DAY)


def test_assets_when_landed_are_one_snapshot(connection: psycopg.Connection[Any], oracle: OracleServer) -> None:
    with oracle.client() as client:
        found = land_snapshot(connection, landing(oracle, "assets", None), client.fetch("assets", Whole()), now=NOW)
    assert found.rows == 24


def test_a_correction_when_read_as_a_change_lands_under_its_day(
    connection: psycopg.Connection[Any], oracle: OracleServer
) -> None:
    day = date(2026, 10, 12)
    land(connection, oracle, "energy_consumption", day)
    number = 300_300_000_000_000 + 24 * 64 * (day - date(2020, 1, 1)).days
    oracle.book.change("meterReadings", number, {"ReadingNetChange": 1.25})
    changed = Changed(NOW - timedelta(minutes=1), NOW + timedelta(minutes=1))
    with oracle.client() as client:
        pages = client.fetch("energy_consumption", changed)
        found = land_changes(connection, landing(oracle, "energy_consumption", None), pages, read=changed, now=NOW)
    assert found.touched == (day,)
    row = connection.execute(
        "SELECT raw ->> 'ReadingNetChange' FROM erp.landed_records WHERE source_key = %s", (str(number),)
    ).fetchone()
    assert row == ("1.25",)
