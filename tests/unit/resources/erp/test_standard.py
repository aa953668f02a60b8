"""Standard tables on a real database: what is landed as columns, facts replaced by day, master data with history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg.types.json import Jsonb

from resources.embedded.postgres import EmbeddedPostgres
from resources.erp.standardised.incoming import REJECTED, LandedPart, StandardTable, lock_part
from resources.erp.standardised.master import merge_master
from resources.erp.standardised.standard import landed_columns, replace_day
from tests.conftest import fresh_database

SEEN = datetime(2026, 11, 20, 8, 30, 0, 123456, tzinfo=UTC)
DAY, AFTER = date(2026, 11, 18), date(2026, 11, 19)
COMMON = ("changed_at", "ingested_at", "extra")
ORDERS = StandardTable("purchase_orders", ("system", "source_key", "item", "order_date", *COMMON), "order_date")
CENTERS = StandardTable("cost_centers", ("system", "source_key", "name", *COMMON), None)
TYPES = {"order_date": pa.date32(), "changed_at": pa.timestamp("us", "UTC"), "ingested_at": pa.timestamp("us", "UTC")}
NONE = REJECTED.empty_table()


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose transaction is rolled back: tests share the database and see nothing of each other."""
    with psycopg.connect(url) as opened:
        yield opened
        opened.rollback()


def land(
    connection: psycopg.Connection[Any], key: str, raw: dict[str, Any], day: date | None = DAY, **more: Any
) -> None:
    values = {"system": "s", "dataset": "purchase_orders", "deleted_at": None, **more}
    connection.execute(
        "INSERT INTO erp.landed_records VALUES (%(system)s, %(dataset)s, %(day)s, %(key)s, %(raw)s, 'h', %(seen)s,"
        " %(seen)s, 'run', %(deleted_at)s)",
        {**values, "day": day, "key": key, "raw": Jsonb(raw), "seen": SEEN},
    )


def part(day: date | None = DAY, dataset: str = "purchase_orders") -> LandedPart:
    return LandedPart("s", dataset, day, "run-2")


def table(of: StandardTable, *rows: dict[str, Any]) -> pa.Table:
    schema = pa.schema([(name, TYPES.get(name, pa.string())) for name in of.columns])
    common = {"system": "s", "extra": "{}", "changed_at": SEEN, "ingested_at": SEEN}
    return pa.Table.from_pylist([{**common, **row} for row in rows], schema=schema)


def order(key: str, item: str = "10", day: date = DAY) -> dict[str, Any]:
    return {"source_key": key, "item": item, "order_date": day}


def refused(*keys: str) -> pa.Table:
    return pa.Table.from_pylist([{"source_key": key, "reasons": ["a", "b, 'c'"]} for key in keys], schema=REJECTED)


def held(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT source_key, item, order_date FROM erp.purchase_orders ORDER BY source_key"
    ).fetchall()


def test_landed_columns_when_read_hold_each_value_as_text_with_every_digit(
    connection: psycopg.Connection[Any],
) -> None:
    raw = '{"a": 1.10, "b": {"c.d": "x,\\"y\\"\\n\\tz"}, "e": "", "f": null, "g": [1, {"h": true}], "i": "\\\\N"}'
    land(connection, "1", {})
    connection.execute("UPDATE erp.landed_records SET raw = %s::jsonb", (raw,))
    land(connection, "2", {"a": 12345678901234567890123})
    land(connection, "3", {"a": 1}, deleted_at=SEEN)
    land(connection, "4", {"a": 1}, AFTER)
    paths = ["a", r"b.c\.d", "e", "f", "g", "g.1.h", "i", "none"]
    found = landed_columns(connection, "s", "purchase_orders", DAY, paths)
    assert found.column_names == ["source_key", "changed_at", "ingested_at", *paths]
    first, second = found.to_pylist()
    assert first == {
        "source_key": "1", "changed_at": SEEN, "ingested_at": SEEN, "a": "1.10", r"b.c\.d": 'x,"y"\n\tz', "e": "",
        "f": None, "g": '[1, {"h": true}]', "g.1.h": "true", "i": "\\N", "none": None,
    }  # fmt: skip
    assert second["a"] == "12345678901234567890123"


def test_landed_columns_when_nothing_is_landed_are_an_empty_table(connection: psycopg.Connection[Any]) -> None:
    found = landed_columns(connection, "s", "purchase_orders", None, ["a"])
    assert found.num_rows == 0
    assert found.schema == landed_columns(connection, "s", "x", DAY, ["a"]).schema
    land(connection, "1", {"a": "x"}, None)
    assert landed_columns(connection, "s", "purchase_orders", None, ["a"])["a"].to_pylist() == ["x"]


def test_a_day_when_replaced_holds_its_rows_and_no_others(connection: psycopg.Connection[Any]) -> None:
    for key in ("1", "2", "3", "4"):
        land(connection, key, {"n": key})
    replace_day(connection, ORDERS, part(), table(ORDERS, order("1"), order("2"), order("3")), refused("4"))
    assert [row[0] for row in held(connection)] == ["1", "2", "3"]
    left = replace_day(connection, ORDERS, part(), table(ORDERS, order("1", "20")), refused("2"), ["4"])
    assert left == 2
    assert held(connection) == [("1", "20", DAY)]
    rejected = connection.execute("SELECT source_key, raw, reasons, run_id FROM erp.rejected_records").fetchall()
    assert rejected == [("2", {"n": "2"}, ["a", "b, 'c'"], "run-2")]
    counts = connection.execute("SELECT rows, rejected, withdrawn FROM erp.standardised").fetchall()
    assert counts == [(1, 1, 1)]


def test_a_key_when_landed_under_another_day_stays_until_that_day_moves_it(connection: psycopg.Connection[Any]) -> None:
    land(connection, "1", {})
    replace_day(connection, ORDERS, part(), table(ORDERS, order("1")), NONE)
    connection.execute("UPDATE erp.landed_records SET deleted_at = now()")
    land(connection, "1", {}, AFTER)
    assert replace_day(connection, ORDERS, part(), table(ORDERS), NONE) == 0
    assert held(connection) == [("1", "10", DAY)]
    replace_day(connection, ORDERS, part(AFTER), table(ORDERS, order("1", day=AFTER)), NONE)
    assert held(connection) == [("1", "10", AFTER)]


@pytest.mark.parametrize(("last", "left"), [(DAY, 1), (AFTER, 0)], ids=["to come", "begun"])
def test_a_key_when_landed_under_a_day_to_come_leaves(
    connection: psycopg.Connection[Any], last: date, left: int
) -> None:
    land(connection, "1", {})
    replace_day(connection, ORDERS, part(), table(ORDERS, order("1")), NONE)
    connection.execute("UPDATE erp.landed_records SET deleted_at = now()")
    land(connection, "1", {}, AFTER)
    assert replace_day(connection, ORDERS, replace(part(), last=last), table(ORDERS), NONE) == left


def test_two_datasets_when_they_fill_one_table_leave_each_other_alone(connection: psycopg.Connection[Any]) -> None:
    land(connection, "1", {})
    land(connection, "planned:1", {}, dataset="planned_orders")
    replace_day(connection, ORDERS, part(), table(ORDERS, order("1")), NONE)
    replace_day(connection, ORDERS, part(dataset="planned_orders"), table(ORDERS, order("planned:1")), NONE)
    assert len(held(connection)) == 2
    assert replace_day(connection, ORDERS, part(), table(ORDERS), NONE) == 1
    assert [row[0] for row in held(connection)] == ["planned:1"]


def test_a_part_when_locked_counts_as_read_until_it_is_touched_again(connection: psycopg.Connection[Any]) -> None:
    for day in (DAY, AFTER, None):
        connection.execute("INSERT INTO erp.touched_days VALUES ('s', 'purchase_orders', %s, now(), 'r')", (day,))
    lock_part(connection, part())
    lock_part(connection, part(None))
    assert connection.execute("SELECT partition_date FROM erp.touched_days").fetchall() == [(AFTER,)]


def center(key: str, name: str, changed: datetime = SEEN) -> dict[str, Any]:
    return {"source_key": key, "name": name, "changed_at": changed}


def merge(connection: psycopg.Connection[Any], *rows: dict[str, Any], rejected: pa.Table = NONE) -> int:
    return merge_master(connection, CENTERS, part(None, "cost_centers"), table(CENTERS, *rows), rejected)


def versions(connection: psycopg.Connection[Any], key: str = "1") -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT version->>'name', changed_at, superseded_at FROM erp.master_history WHERE source_key = %s"
        " AND dataset = 'cost_centers' AND system = 's' ORDER BY changed_at",
        (key,),
    ).fetchall()


def test_master_data_when_merged_keeps_each_version_with_its_time(connection: psycopg.Connection[Any]) -> None:
    later = SEEN + timedelta(hours=1)
    for key in ("1", "2"):
        land(connection, key, {}, None, dataset="cost_centers")
    merge(connection, center("1", "old"), center("2", "same"))
    merge(connection, center("1", "new", later), center("2", "same"))
    assert versions(connection) == [("old", SEEN, later), ("new", later, None)]
    assert versions(connection, "2") == [("same", SEEN, None)]
    assert merge(connection, center("1", "new", later)) == 1
    assert connection.execute("SELECT source_key, name FROM erp.cost_centers").fetchall() == [("1", "new")]
    assert versions(connection, "2")[0][2] is not None


def test_a_version_when_only_read_differently_is_replaced_not_superseded(connection: psycopg.Connection[Any]) -> None:
    merge(connection, center("1", "0000A"))
    merge(connection, center("1", "A"))
    assert versions(connection) == [("A", SEEN, None)]


def test_a_row_when_it_returns_or_goes_back_in_time_begins_a_version_now(connection: psycopg.Connection[Any]) -> None:
    land(connection, "1", {}, None, dataset="cost_centers")
    merge(connection, center("1", "a"))
    assert merge(connection, rejected=refused("1")) == 1
    merge(connection, center("1", "a"))
    found = versions(connection)
    assert [name for name, _, _ in found] == ["a", "a"]
    assert found[0][2] == found[1][1] > SEEN
    merge(connection, center("1", "b", SEEN - timedelta(days=1)))
    found = versions(connection)
    assert [name for name, _, _ in found] == ["a", "a", "b"]
    assert found[1][2] == found[2][1]
    assert found[2][2] is None
