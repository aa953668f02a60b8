"""Landing: the records of one business day, or of master data, stored as the system gave them in one transaction.

The caller gives the connection (psycopg, autocommit off) and commits; an error on the way, the source's included,
leaves what is stored as it was. Tables: `erp.landed_records` and its ledger `erp.pulls`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import psycopg

from resources.core.errors import DataError, ProtocolError
from resources.erp.business_days import DayOf, utc_day
from resources.erp.cursors import touch
from resources.erp.declared import DatasetConfig
from resources.erp.landed.rows import RecordReader, Row
from resources.erp.landed.staging import Batch, LandedTable, Staged, of_part
from resources.erp.records import NO_KEY, RecordPage, read_ahead

_BATCH_BYTES = 500_000
"""Pages are stored in pieces of about this size: few enough of them, and none that memory would notice."""


@dataclass(frozen=True, slots=True)
class Landing:
    """Which day of which dataset of which system is landed; without a day it is a snapshot of master data."""

    system: str
    dataset: str
    day: date | None
    declared: DatasetConfig
    run_id: str
    day_of: DayOf = utc_day
    """What tells the business day of a record that changed, by its `business_date`."""

    def __str__(self) -> str:
        """Name what is landed for a message."""
        return f"{self.system}: {self.dataset}" + (f" of {self.day}" if self.day is not None else "")

    @property
    def values(self) -> dict[str, Any]:
        """What is landed, as parameters of statements."""
        return {
            "system": self.system,
            "dataset": self.dataset,
            "day": self.day,
            "run_id": self.run_id,
            "no_key": NO_KEY,
        }


@dataclass(frozen=True, slots=True)
class LandedDay:
    """What landing a day, or a snapshot, did."""

    rows: int
    """Records now stored, those marked as deleted not counted."""
    server_count: int | None
    """How many the server said there are; None if it did not say."""
    duplicates: int
    """Records sent more than once."""
    written: int
    """New, changed and returned records."""
    vanished: int
    """Records the system no longer has that day, now marked as deleted."""
    pages: int
    duration_s: float


@dataclass(slots=True)
class Counts:
    """What came in."""

    records: int = 0
    pages: int = 0
    server_count: int | None = None


def land_day(
    connection: psycopg.Connection[Any], landing: Landing, pages: Iterable[RecordPage], *, now: datetime
) -> LandedDay:
    """Replace the landed records of a day by what `pages` yield, in the transaction of `connection`.

    Unchanged records keep their ingested_at; those that vanished get deleted_at; a record that stands under another
    day is marked as deleted there, since it moved here. Pages are stored as they come, so memory does not grow, and
    the next one is read and split meanwhile.

    Raises:
        SourceError: The pages could not be read, are fewer than the server counted, or hold what is no record (a
            ProtocolError).
    """
    started = time.perf_counter()
    lock_dataset(connection, landing)
    reader, counts = RecordReader(landing.declared), Counts()
    is_empty = not _holds_any(connection, landing)
    with Staged(connection) as staged:
        table = LandedTable(connection, staged, landing.values, now)
        with closing(ready_batches(landing, reader, pages, counts)) as ready:
            for batch in ready:
                store(landing, reader, batch, into=table.add if is_empty else staged.add)
                del batch
        unique = table.rows if is_empty else staged.deduplicate()
        refuse_missing(landing, counts, unique)
        written, vanished = (unique, 0) if is_empty else staged.replace(landing.values, now)
    if landing.day is not None:
        _mark_moved(connection, landing, now)
    day = LandedDay(
        rows=unique,
        server_count=counts.server_count,
        duplicates=counts.records - unique,
        written=written,
        vanished=vanished,
        pages=counts.pages,
        duration_s=time.perf_counter() - started,
    )
    _record(connection, landing, day, now)
    if written or vanished:
        # a run that standardises the day meanwhile has not seen this: the mark outlasts it
        touch(connection, landing.values, [landing.day])
    return day


def land_snapshot(
    connection: psycopg.Connection[Any], landing: Landing, pages: Iterable[RecordPage], *, now: datetime
) -> LandedDay:
    """Replace the landed records of master data by what `pages` yield; otherwise as `land_day`.

    Raises:
        SourceError: As `land_day`; a ProtocolError also where no record came at all though some are stored.
    """
    assert landing.day is None, "a snapshot has no business day"
    counted = _alive(connection, landing)
    snapshot = land_day(connection, landing, pages, now=now)
    if counted and not snapshot.rows:
        raise ProtocolError(
            f"{landing}: the system answered without any record, where {counted} are stored; likelier its user lost a "
            "permission than that all are gone; the stored ones are left as they were; check the user's roles there",
            source=landing.system,
        )
    return snapshot


def lock_dataset(connection: psycopg.Connection[Any], landing: Landing) -> None:
    """Wait for another pull of the dataset; held until the transaction ends.

    Of two pulls at once, the older might commit last and undo what the newer has seen.
    """
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"erp.landed/{landing.system}/{landing.dataset}",)
    )


def ready_batches(
    landing: Landing, reader: RecordReader, pages: Iterable[RecordPage], counts: Counts
) -> Generator[Batch]:
    """Yield the rows of pages, several small pages at once; what came in is added to `counts`.

    Three at a time: while a batch is stored, a thread prepares the next one, and another one reads the pages after it.
    """
    return read_ahead(_batches(landing, reader, pages, counts), depth=1)


def _batches(landing: Landing, reader: RecordReader, pages: Iterable[RecordPage], counts: Counts) -> Iterator[Batch]:
    records: list[bytes] = []
    size = 0
    with closing(read_ahead(iter(pages))) as ahead:
        for page in ahead:
            counts.records += len(page.records)
            counts.pages += 1
            counts.server_count = page.server_count if counts.server_count is None else counts.server_count
            records += page.records
            size += sum(map(len, page.records))
            if size >= _BATCH_BYTES:
                yield _batch(landing, reader, records, counts)
                records, size = [], 0
            del page
    if records:
        yield _batch(landing, reader, records, counts)


def _batch(landing: Landing, reader: RecordReader, records: list[bytes], counts: Counts) -> Batch:
    return Batch(records, _readable(landing, lambda: reader.rows(records), counts.pages), counts.pages)


def _readable(landing: Landing, read: Callable[[], list[Row]], page: int) -> list[Row]:
    try:
        return read()
    except DataError as error:
        raise ProtocolError(
            f"{landing}: page {page} or one shortly before it holds {error}; the stored records are left as they were; "
            "pull it again, and if that does not help have the service looked at",
            source=landing.system,
        ) from error


def store(landing: Landing, reader: RecordReader, batch: Batch, *, into: Callable[[list[Row]], None]) -> None:
    """Store a batch; where the database refuses a text or number in it, once more with that replaced.

    Raises:
        ProtocolError: It is refused then as well.
    """
    try:
        into(batch.rows)
    except (psycopg.DataError, psycopg.errors.StatementTooComplex):
        rows = _readable(landing, lambda: reader.altered(batch.records), batch.page)
        try:
            into(rows)
        except psycopg.DataError as error:
            raise ProtocolError(
                f"{landing}: page {batch.page} or one shortly before it holds a record that the database cannot keep "
                f"({error.diag.message_primary}); the stored records are left as they were; have it mended in "
                f"{landing.system}, or leave it out by `where` of the dataset",
                source=landing.system,
            ) from error


def refuse_missing(landing: Landing, counts: Counts, unique: int) -> None:
    """Refuse a pull that brought fewer records than the server counted.

    Raises:
        ProtocolError: It did.
    """
    if counts.server_count is not None and unique < counts.server_count:
        raise ProtocolError(
            f"{landing}: the server counted {counts.server_count} records but sent {unique}; the stored records are "
            "left as they were; pull it again, and if that does not help have the service's paging checked",
            source=landing.system,
        )


def _holds_any(connection: psycopg.Connection[Any], landing: Landing) -> bool:
    statement = of_part("SELECT EXISTS (SELECT FROM erp.landed_records WHERE {part})", landing.values)
    row = connection.execute(statement, landing.values).fetchone()
    return row is None or bool(row[0])


def _alive(connection: psycopg.Connection[Any], landing: Landing) -> int:
    statement = of_part("SELECT count(*) FROM erp.landed_records WHERE {part} AND deleted_at IS NULL", landing.values)
    row = connection.execute(statement, landing.values).fetchone()
    return int(row[0]) if row else 0


_MOVED = """
    UPDATE erp.landed_records held SET deleted_at = %(now)s, run_id = %(run_id)s
     WHERE held.system = %(system)s AND held.dataset = %(dataset)s
       AND held.source_key = ANY(ARRAY(
           SELECT source_key FROM erp.landed_records
            WHERE system = %(system)s AND dataset = %(dataset)s AND partition_date = %(day)s
              AND ingested_at = %(now)s AND NOT starts_with(source_key, %(no_key)s)))
       AND held.partition_date <> %(day)s AND held.deleted_at IS NULL
"""
"""The keys are an array, so that they are looked up in the index also before the table has statistics: a plan that
joins takes seconds a day then."""


def _mark_moved(connection: psycopg.Connection[Any], landing: Landing, now: datetime) -> None:
    other = connection.execute(
        "SELECT EXISTS (SELECT FROM erp.pulls WHERE system = %(system)s AND dataset = %(dataset)s)", landing.values
    ).fetchone()
    if other is None or other[0]:
        connection.execute(_MOVED, {**landing.values, "now": now})


def _record(connection: psycopg.Connection[Any], landing: Landing, day: LandedDay, now: datetime) -> None:
    connection.execute(
        "INSERT INTO erp.pulls (system, dataset, partition_date, rows, server_count, duplicates, vanished, pages,"
        " duration_s, pulled_at, run_id) VALUES (%(system)s, %(dataset)s, %(day)s, %(rows)s, %(server_count)s,"
        " %(duplicates)s, %(vanished)s, %(pages)s, %(duration_s)s, %(now)s, %(run_id)s)"
        " ON CONFLICT (system, dataset, partition_date) DO UPDATE SET rows = excluded.rows,"
        " server_count = excluded.server_count, duplicates = excluded.duplicates, vanished = excluded.vanished,"
        " pages = excluded.pages, duration_s = excluded.duration_s, pulled_at = excluded.pulled_at,"
        " run_id = excluded.run_id",
        {**landing.values, **asdict(day), "now": now},
    )
