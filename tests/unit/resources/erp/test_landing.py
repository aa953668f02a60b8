"""Landing on a real database: whatever comes, the stored day is the system's, whole, and as it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest

from resources.core.errors import ProtocolError
from resources.embedded.postgres import EmbeddedPostgres
from resources.erp.declared import DatasetConfig
from resources.erp.landed.landing import LandedDay, Landing, land_day, land_snapshot
from resources.erp.records import ALTERED, RecordPage
from tests.conftest import fresh_database

DAY, AFTER = date(2026, 11, 18), date(2026, 11, 19)
NOW = datetime(2026, 11, 20, 8, 30, 0, 123456, tzinfo=UTC)
DECLARED = DatasetConfig(resource="Orders", key=("id",), business_date="day")


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose transaction is rolled back: tests share the database and see nothing of each other."""
    with psycopg.connect(url) as opened:
        opened.execute("SELECT")  # a transaction begins, in which those of the tests are savepoints
        yield opened
        opened.rollback()


def landing(day: date | None = DAY, declared: DatasetConfig = DECLARED) -> Landing:
    return Landing("s", "orders", day, declared, "run")


def page(*records: bytes | dict[str, Any], count: int | None = None) -> RecordPage:
    return RecordPage([r if isinstance(r, bytes) else orjson.dumps(r) for r in records], count)


def land(
    connection: psycopg.Connection[Any],
    *pages: RecordPage,
    day: date | None = DAY,
    now: datetime = NOW,
    declared: DatasetConfig = DECLARED,
) -> LandedDay:
    with connection.transaction():
        into = land_day if day is not None else land_snapshot
        return into(connection, landing(day, declared), iter(pages), now=now)


def stored(connection: psycopg.Connection[Any], columns: str = "source_key, raw") -> list[tuple[Any, ...]]:
    query: Any = (
        f"SELECT {columns} FROM erp.landed_records WHERE deleted_at IS NULL ORDER BY partition_date, source_key"
    )
    return connection.execute(query).fetchall()


def figures(day: LandedDay) -> tuple[int, int, int, int]:
    return day.rows, day.written, day.vanished, day.duplicates


@pytest.fixture(params=["empty", "held"])
def way(request: pytest.FixtureRequest, connection: psycopg.Connection[Any]) -> str:
    """Both ways into the table: straight where nothing is stored of the day, by a staging table where something is."""
    if request.param == "held":
        land(connection, page({"id": "0"}), now=NOW - timedelta(days=1))
    return str(request.param)


def test_records_when_landed_are_kept_as_they_were_written(connection: psycopg.Connection[Any], way: str) -> None:
    text = b'{ "id" : " 7 ",\r\n\t"amount": 1.10, "n": 12345678901234567890123, "t": "a\\tb\\\\\\"\xc3\xa9\\u00e9", "o": {}}'
    day = land(connection, page(text, count=1))
    assert figures(day) == (1, 1, 0 if way == "empty" else 1, 0)
    assert stored(
        connection, "source_key, raw->>'amount', raw->>'n', raw->>'t', partition_date, ingested_at, run_id"
    ) == [("7", "1.10", "12345678901234567890123", 'a\tb\\"éé', DAY, NOW, "run")]
    assert connection.execute("SELECT rows, server_count, pages FROM erp.pulls").fetchall() == [(1, 1, 1)]


@pytest.mark.parametrize(
    ("key", "prefix", "record", "named"),
    [
        (("id",), "", {"id": 12}, "12"),
        (("id",), "p:", {"id": "a"}, "p:a"),
        (("id",), "", {"id": 1.5}, "1.5"),
        (("id",), "", {"id": True}, "true"),
        (("a", "b"), "", {"a": "1000", "b": 3, "c": 1}, "1000/3"),
        (("parent.no", "line"), "", {"line": 2, "parent": {"no": "J1", "x": [1]}}, "J1/2"),
        ((r"a\.b.c",), "", {"a.b": {"c": "x"}}, "x"),
        (("lines.0.no",), "", {"lines": [{"no": "first"}, {"no": "second"}]}, "first"),
        (("id",), "", {"id": "  "}, None),
        (("id",), "", {"id": None}, None),
        (("id",), "", {"x": 1}, None),
        (("a", "b"), "", {"a": "1"}, None),
        (("parent.no",), "", {"parent": "text"}, None),
        (("parent.no",), "", {"parent": None}, None),
        (("id",), "", {"id": "x" * 1001}, None),
    ],
)
def test_the_key_when_read_is_the_values_joined(
    connection: psycopg.Connection[Any],
    key: tuple[str, ...],
    prefix: str,
    record: dict[str, Any],
    named: str | None,
) -> None:
    declared = DatasetConfig(resource="R", key=key, key_prefix=prefix, business_date="day")
    land(connection, page(record), declared=declared)
    ((found, raw),) = stored(connection)
    assert raw == record
    assert found == named if named is not None else found.startswith("?") and len(found) == 33


def test_records_when_without_key_are_all_kept_and_told_apart(connection: psycopg.Connection[Any], way: str) -> None:
    day = land(connection, page({"x": 1}, {"x": 2}, {"x": 2}, {"id": "a"}))
    assert (day.rows, day.duplicates) == (3, 1)
    assert land(connection, page({"x": 1}, {"x": 2}, {"id": "a"})).written == 0


def test_a_record_when_its_order_or_annotations_differ_is_the_same(connection: psycopg.Connection[Any]) -> None:
    land(connection, page(b'{"@odata.etag":"1","id":"a","v":1.0,"__metadata":{"etag":"x"},"o":{"p":1}}'))
    again = page(b'{"v" : 1.0, "o":{"p":1}, "id":"a","__metadata":{"etag":"y"},"v@odata.type":"#Decimal"}')
    assert land(connection, again, now=NOW + timedelta(days=1)).written == 0
    assert stored(connection, "ingested_at") == [(NOW,)]
    assert land(connection, page(b'{"id":"a","v":1.01,"o":{"p":1}}')).written == 1


def test_a_key_when_sent_more_than_once_is_stored_once_as_it_came_last(
    connection: psycopg.Connection[Any], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pieces of one page each, so that the same key comes in the same piece and in different ones
    monkeypatch.setattr("resources.erp.landed.landing._BATCH_BYTES", 1)
    first = page({"id": "a", "v": 1}, {"id": "b", "v": 1}, {"id": "a", "v": 2})
    day = land(
        connection, first, page({"id": "c", "v": 1}), page({"id": "b", "v": 3}, {"id": "d"}), page({"id": "c", "v": 1})
    )
    assert (day.rows, day.duplicates, day.pages) == (4, 3, 4)
    assert stored(connection) == [
        ("a", {"id": "a", "v": 2}), ("b", {"id": "b", "v": 3}), ("c", {"id": "c", "v": 1}), ("d", {"id": "d"}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "kept"),
    [
        (b'{"id":"x\\u0000y","t":1}', {"id": "x\ufffdy", "t": 1, ALTERED: True}),
        (b'{"id":"b","t":"\\ud800"}', {"id": "b", "t": "\ufffd", ALTERED: True}),
        (b'{"id":"b","\\u0000":"t"}', {"id": "b", "\ufffd": "t", ALTERED: True}),
        (b'{"id":"b","n":1e999999}', {"id": "b", "n": "1E+999999", ALTERED: True}),
        (b'{"id":"b","n":0.' + b"1" * 20000 + b"}", {"id": "b", "n": "0." + "1" * 20000, ALTERED: True}),
    ],
    ids=["null in the key", "lone surrogate", "null in a name", "exponent", "digits"],
)
def test_what_the_database_cannot_keep_when_sent_is_replaced_and_the_record_says_so(
    connection: psycopg.Connection[Any], way: str, bad: bytes, kept: dict[str, Any]
) -> None:
    good = b'{"id": "a", "v": 1.50}'
    first = land(connection, page(good, bad))
    assert first.rows == 2
    assert stored(connection, "source_key, raw") == [("a", {"id": "a", "v": 1.5}), (kept["id"], kept)]
    # the neighbours of such a record have the hash they always have
    assert land(connection, page(good), now=NOW + timedelta(days=1)).written == 0


def test_a_large_field_when_sent_is_kept(connection: psycopg.Connection[Any], way: str) -> None:
    land(connection, page({"id": "a", "t": "x" * 10_000_000}))
    assert stored(connection, "length(raw->>'t')") == [(10_000_000,)]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"[1]", "page 1 or one shortly before it holds a record that is no JSON object"),
        (b'{"id":', "holds not JSON at character"),
        (b'{"id":"\xff"}', "holds not UTF-8 at byte"),
        (b'{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "holds JSON nested too deep"),
    ],
    ids=["list", "cut", "charset", "deep"],
)
def test_what_is_no_record_when_sent_is_refused_and_the_day_stays(
    connection: psycopg.Connection[Any], way: str, record: bytes, words: str
) -> None:
    before = stored(connection)
    with pytest.raises(ProtocolError, match="s: orders of 2026-11-18: page") as met:
        land(connection, page({"id": "new"}, record))
    assert words in str(met.value)
    assert met.value.source == "s"
    assert stored(connection) == before


def test_a_pull_when_shorter_than_the_servers_count_is_refused(connection: psycopg.Connection[Any], way: str) -> None:
    before = stored(connection)
    with pytest.raises(ProtocolError, match="the server counted 3 records but sent 2; the stored records are left"):
        land(connection, page({"id": "a"}, count=3), page({"id": "b"}, {"id": "b"}))
    assert stored(connection) == before
    assert land(connection, page({"id": "a"}, {"id": "b"}, count=1)).rows == 2


def test_a_day_when_pulled_again_writes_only_what_changed(connection: psycopg.Connection[Any]) -> None:
    land(connection, page({"id": "a", "v": 1}, {"id": "b", "v": 1}, {"id": "c", "v": 1}))
    later = NOW + timedelta(hours=1)
    day = land(connection, page({"id": "a", "v": 1}, {"id": "b", "v": 2}, {"id": "d"}), now=later)
    assert figures(day) == (3, 2, 1, 0)
    assert stored(connection, "source_key, ingested_at") == [("a", NOW), ("b", later), ("d", later)]
    returned = land(connection, page({"id": "c", "v": 1}, {"id": "a", "v": 1}, {"id": "b", "v": 2}), now=later)
    assert figures(returned) == (3, 1, 1, 0)
    xmin = "SELECT max(xmin::text::bigint) FROM erp.landed_records"
    before = connection.execute(xmin).fetchone()
    land(connection, page({"id": "c", "v": 1}, {"id": "a", "v": 1}, {"id": "b", "v": 2}))
    assert connection.execute(xmin).fetchone() == before


def test_a_day_when_it_changed_is_marked_until_it_is_standardised(connection: psycopg.Connection[Any]) -> None:
    marked = "SELECT partition_date FROM erp.touched_days"
    land(connection, page({"id": "a"}))
    assert connection.execute(marked).fetchall() == [(DAY,)]
    connection.execute("DELETE FROM erp.touched_days")
    land(connection, page({"id": "a"}))
    assert connection.execute(marked).fetchall() == []
    land(connection, RecordPage([]))
    assert connection.execute(marked).fetchall() == [(DAY,)]


def test_a_record_when_it_comes_with_another_day_has_left_the_old_one(connection: psycopg.Connection[Any]) -> None:
    land(connection, page({"id": "a"}, {"id": "b"}, {"x": 1}))
    land(connection, page({"id": "a"}, {"x": 1}), day=AFTER, now=NOW + timedelta(days=1))
    assert [row[:2] for row in stored(connection, "partition_date, source_key")] == [
        (DAY, stored(connection, "source_key")[0][0]), (DAY, "b"), (AFTER, stored(connection, "source_key")[0][0]), (AFTER, "a"),
    ]  # fmt: skip


def test_an_empty_day_when_landed_is_in_the_ledger(connection: psycopg.Connection[Any], way: str) -> None:
    day = land(connection, RecordPage([], 0))
    assert figures(day) == (0, 0, 0 if way == "empty" else 1, 0)
    assert connection.execute("SELECT rows, server_count FROM erp.pulls").fetchall() == [(0, 0)]


def test_an_error_of_the_source_when_landing_leaves_the_day(connection: psycopg.Connection[Any], way: str) -> None:
    before = stored(connection)

    def pages() -> Iterator[RecordPage]:
        yield page({"id": "a"})
        raise ProtocolError("s: page 2 is broken", source="s")

    with pytest.raises(ProtocolError, match="page 2 is broken"), connection.transaction():
        land_day(connection, landing(), pages(), now=NOW)
    assert stored(connection) == before


def test_a_snapshot_when_landed_has_no_day_and_replaces_the_one_before(connection: psycopg.Connection[Any]) -> None:
    master = DatasetConfig(resource="Centers", key=("id",))
    land(connection, page({"id": "a", "n": 1}, {"id": "b"}), day=None, declared=master)
    day = land(connection, page({"id": "a", "n": 2}), day=None, declared=master, now=NOW + timedelta(days=1))
    assert figures(day) == (1, 1, 1, 0)
    assert stored(connection, "partition_date, source_key, raw->'n'") == [(None, "a", 2)]
    with pytest.raises(ProtocolError, match="answered without any record, where 1 are stored"):
        land(connection, RecordPage([]), day=None, declared=master)
    assert len(stored(connection)) == 1
