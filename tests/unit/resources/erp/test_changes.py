"""Reading changes: each record under its own day, the cursor moved with it, deletions found; on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import psycopg
import pytest

from resources.core.errors import ProtocolError
from resources.embedded.postgres import EmbeddedPostgres
from resources.erp.business_days import business_day
from resources.erp.connector import Changed
from resources.erp.cursors import Cursor, cursor_of, next_changes, touch, touched_days
from resources.erp.declared import DatasetConfig
from resources.erp.landed.changes import LandedChanges, land_changes, sweep_day
from resources.erp.landed.landing import Landing, land_day, land_snapshot
from resources.erp.records import RecordPage
from resources.erp.sap.config import SapConfig
from tests.conftest import fresh_database
from tests.unit.resources.transport.test_parts import settings

DAY, AFTER = date(2026, 11, 18), date(2026, 11, 19)
NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
READ = Changed(NOW, LATER)
DECLARED = DatasetConfig(resource="Orders", key=("id",), business_date="header.day", changed="at")


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose transaction is rolled back: tests share the database and see nothing of each other."""
    with psycopg.connect(url) as opened:
        opened.execute("SELECT")
        yield opened
        opened.rollback()


def landing(day: date | None = None, declared: DatasetConfig = DECLARED) -> Landing:
    return Landing("s", "orders", day, declared, "run")


def page(*records: dict[str, Any], count: int | None = None) -> list[RecordPage]:
    return [RecordPage([orjson.dumps(record) for record in records], count)]


def order(key: str, day: object = DAY, **more: Any) -> dict[str, Any]:
    return {"id": key, "header": {"day": str(day) if isinstance(day, date) else day}, **more}


def change(connection: psycopg.Connection[Any], *records: dict[str, Any], **more: Any) -> LandedChanges:
    with connection.transaction():
        return land_changes(connection, landing(), page(*records), **{"read": READ, "now": LATER, **more})


def stored(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT partition_date, source_key, raw->'v' FROM erp.landed_records WHERE deleted_at IS NULL ORDER BY 1, 2"
    ).fetchall()


def test_changes_when_landed_stand_under_their_days_beside_what_did_not_change(
    connection: psycopg.Connection[Any],
) -> None:
    land_day(connection, landing(DAY), page(order("a", v=1), order("b", v=1), order("c", v=1)), now=NOW)
    found = change(connection, order("a", v=1), order("b", v=2), order("c", AFTER, v=1), order("d", AFTER, v=1))
    assert found == LandedChanges(records=4, written=3, moved=1, undated=0, outside=0, touched=(DAY, AFTER))
    assert stored(connection) == [(DAY, "a", 1), (DAY, "b", 2), (AFTER, "c", 1), (AFTER, "d", 1)]
    assert touched_days(connection, "s", "orders") == [DAY, AFTER]
    cursor = cursor_of(connection, "s", "orders")
    assert cursor is not None
    assert (cursor.position, cursor.records, cursor.written) == (LATER, 4, 3)


def test_changes_when_read_again_write_and_touch_nothing(connection: psycopg.Connection[Any]) -> None:
    change(connection, order("a", v=1))
    connection.execute("DELETE FROM erp.touched_days")
    again = change(connection, order("a", v=1), order("a", v=1), read=Changed(NOW, NOW), now=LATER + timedelta(hours=1))
    assert (again.records, again.written, again.touched) == (1, 0, ())
    assert touched_days(connection, "s", "orders") == []
    cursor = cursor_of(connection, "s", "orders")
    assert cursor is not None
    assert cursor.position == LATER


def test_a_change_when_its_record_was_deleted_brings_it_back(connection: psycopg.Connection[Any]) -> None:
    change(connection, order("a", v=1))
    connection.execute("UPDATE erp.landed_records SET deleted_at = now()")
    assert change(connection, order("a", v=1)).written == 1
    assert stored(connection) == [(DAY, "a", 1)]


def test_changes_when_without_a_day_are_rejected_and_those_before_the_first_left_out(
    connection: psycopg.Connection[Any],
) -> None:
    for _ in range(2):
        found = change(connection, order("a", None), order("b", "soon"), order("c"), order("d", AFTER), first_day=AFTER)
    assert (found.records, found.undated, found.outside) == (4, 2, 1)
    assert stored(connection) == [(AFTER, "d", None)]
    assert connection.execute("SELECT source_key, reasons FROM erp.rejected_records ORDER BY 1").fetchall() == [
        (key, ["header.day is missing or no date: the record belongs to no business day"]) for key in ("a", "b")
    ]
    change(connection, order("a", AFTER))
    assert connection.execute("SELECT source_key FROM erp.rejected_records").fetchall() == [("b",)]


def test_records_when_they_leave_the_days_that_are_kept_are_no_longer_stored_under_their_old_one(
    connection: psycopg.Connection[Any],
) -> None:
    land_day(connection, landing(DAY), page(order("a"), order("b"), order("c"), order("d")), now=NOW)
    connection.execute("DELETE FROM erp.touched_days")
    unscheduled = order("b", "1900-01-01T12:00:00Z")
    found = change(connection, order("a", None), unscheduled, order("c", date(2027, 1, 8)), first_day=DAY)
    assert (found.written, found.moved, found.undated, found.outside) == (1, 3, 1, 1)
    assert stored(connection) == [(DAY, "d", None), (date(2027, 1, 8), "c", None)]
    assert touched_days(connection, "s", "orders") == [DAY, date(2027, 1, 8)]
    again = change(connection, order("a", None), unscheduled, first_day=DAY)
    assert (again.written, again.moved, again.touched) == (0, 0, ())


def test_changes_of_master_data_when_landed_are_of_no_day(connection: psycopg.Connection[Any]) -> None:
    master = DatasetConfig(resource="Centers", key=("id",), changed="at")
    land_snapshot(connection, landing(None, master), page({"id": "a", "v": 1}, {"id": "b", "v": 1}), now=NOW)
    changed = page({"id": "a", "v": 2})
    found = land_changes(connection, landing(None, master), changed, read=READ, now=LATER, first_day=DAY)
    assert found.touched == (None,)
    assert stored(connection) == [(None, "a", 2), (None, "b", 1)]
    assert touched_days(connection, "s", "orders") == [None]


def test_a_read_when_it_fails_leaves_the_cursor(connection: psycopg.Connection[Any]) -> None:
    change(connection, order("a"))

    def pages() -> Iterator[RecordPage]:
        yield page(order("b"))[0]
        raise ProtocolError("s: page 2 is broken", source="s")

    with pytest.raises(ProtocolError), connection.transaction():
        land_changes(connection, landing(), pages(), read=Changed(LATER, LATER + timedelta(hours=1)), now=LATER)
    assert [row[1] for row in stored(connection)] == ["a"]
    cursor = cursor_of(connection, "s", "orders")
    assert cursor is not None
    assert cursor.position == LATER


def test_a_sweep_when_keys_are_gone_marks_their_records_and_touches_the_day(
    connection: psycopg.Connection[Any],
) -> None:
    land_day(connection, landing(DAY), page(order("a"), order("b"), {"x": "no key"}), now=NOW)
    found = sweep_day(connection, landing(DAY), page({"id": "a"}, {"id": "new"}), now=LATER)
    assert (found.keys, found.vanished, found.unknown) == (2, 1, 1)
    assert sorted(row[1][0] for row in stored(connection)) == ["?", "a"]
    assert touched_days(connection, "s", "orders") == [DAY]
    connection.execute("DELETE FROM erp.touched_days")
    assert sweep_day(connection, landing(DAY), page({"id": "a"}), now=LATER).vanished == 0
    assert touched_days(connection, "s", "orders") == []
    with pytest.raises(ProtocolError, match="the server counted 2 records but sent 1"):
        sweep_day(connection, landing(DAY), page({"id": "a"}, count=2), now=LATER)


def test_a_touched_day_when_touched_again_is_there_once(connection: psycopg.Connection[Any]) -> None:
    for _ in range(2):
        touch(connection, landing().values, [DAY, None])
    assert touched_days(connection, "s", "orders") == [DAY, None]


def config(**changes: Any) -> SapConfig:
    return SapConfig.model_validate(settings(change_overlap="5m", change_margin="30s", **changes))


@pytest.mark.parametrize(
    ("position", "since", "until"),
    [
        (None, NOW - timedelta(days=1), NOW - timedelta(seconds=30)),
        (NOW - timedelta(minutes=10), NOW - timedelta(minutes=15), NOW - timedelta(seconds=30)),
        # the server's clock went back: nothing is skipped, and the position stays
        (NOW + timedelta(hours=1), NOW + timedelta(minutes=55), NOW + timedelta(hours=1)),
    ],
)
def test_the_next_read_when_reckoned_overlaps_the_last_and_ends_before_what_may_still_commit(
    position: datetime | None, since: datetime, until: datetime
) -> None:
    found = next_changes(position, config(), start=NOW - timedelta(days=1), server_now=NOW)
    assert found == Changed(since, until)
    assert str(found).startswith("changed from 2026-11-")


def test_a_cursor_when_never_moved_is_none(connection: psycopg.Connection[Any]) -> None:
    found: Cursor | None = cursor_of(connection, "s", "never")
    assert found is None


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-11-18", DAY),
        ("20261118", DAY),
        ("20261118235959", DAY),
        ("2026-11-18T23:59:00", DAY),
        ("2026-11-17T23:30:00Z", DAY),
        ("2026-11-18T00:30:00+02:00", date(2026, 11, 17)),
        ("/Date(1794960000000)/", DAY),
        ("/Date(1794956400000+0000)/", DAY),
        (" 2026-11-18 ", DAY),
        ("2026-11-18-08:00", DAY),
        ("2026-11-18Z", DAY),
        ("18.11.2026", None),
        ("20261318", None),
        ("0000-00-00", None),
        ("/Date(999999999999999)/", None),
        ("", None),
        (None, None),
    ],
)
def test_a_value_when_it_names_a_day_is_that_day_in_the_systems_zone(value: str | None, day: date | None) -> None:
    assert business_day(value, ZoneInfo("Europe/Berlin")) == day
