"""Landing: the records of one business day, stored as the system gave them, replaced as a whole in one transaction.

The caller gives the connection (psycopg, autocommit off) and commits; an error on the way, the source's included,
leaves the stored day as it was. Tables: `erp.landed_records` and its ledger `erp.pulls`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg

from resources.core.errors import ProtocolError
from resources.erp.declared import DatasetConfig
from resources.erp.records import Record, RecordPage
from resources.erp.storable import storable_record
from resources.transport.json_text import dump_json, parse_json

NO_KEY = "?"
"""A record without key is landed under this and its hash: nothing the system sent is dropped."""


@dataclass(frozen=True, slots=True)
class Landing:
    """Which day of which dataset of which system is landed; without a day it is a snapshot of master data."""

    system: str
    dataset: str
    day: date | None
    declared: DatasetConfig
    run_id: str
    time_zone: str = "UTC"
    """Zone of the system's business days."""

    def __str__(self) -> str:
        """Name what is landed for a message."""
        return f"{self.system}: {self.dataset}" + (f" of {self.day}" if self.day is not None else "")


@dataclass(frozen=True, slots=True)
class LandedDay:
    """What landing a day did."""

    rows: int
    """Records of the day now stored, those marked as deleted not counted."""
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
class _Counts:
    records: int = 0
    pages: int = 0
    server_count: int | None = None


def land_day(
    connection: psycopg.Connection[Any], landing: Landing, pages: Iterable[RecordPage], *, now: datetime
) -> LandedDay:
    """Replace the landed records of a day by what `pages` yield, in the transaction of `connection`.

    Unchanged records keep their ingested_at; those that vanished get deleted_at; a record that stands under another
    day is marked as deleted there, since it moved here. Pages are stored as they come, so memory does not grow.

    Raises:
        SourceError: The pages could not be read, or are fewer than the server counted (a ProtocolError).
    """
    started = time.perf_counter()
    # one pull of a dataset at a time: of two at once, the older might commit last and undo what the newer has seen
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"erp.landed/{landing.system}/{landing.dataset}",)
    )
    connection.execute(
        "CREATE TEMP TABLE staged (sequence bigint, source_key text, raw jsonb, hash text) ON COMMIT DROP"
    )
    counts = _Counts()
    with connection.cursor() as cursor, cursor.copy("COPY staged FROM STDIN") as copy:
        for block in _blocks(pages, landing.declared, counts):
            copy.write(block)
    unique = _deduplicated(connection)
    if counts.server_count is not None and unique < counts.server_count:
        raise ProtocolError(
            f"{landing}: the server counted {counts.server_count} records but sent {unique}; the stored day is left as "
            "it was; pull it again, and if that does not help have the service's paging checked",
            source=landing.system,
        )
    written, vanished = _merge(connection, landing, now)
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
    connection.execute("DROP TABLE staged")
    return day


def record_hash(record: Record) -> str:
    """Return the hash that tells whether a record changed: of its properties, not of the protocol's annotations."""
    plain = {name: value for name, value in record.items() if not name.startswith("@")}
    return hashlib.sha256(dump_json(plain, sort_keys=True)).hexdigest()


def _blocks(pages: Iterable[RecordPage], declared: DatasetConfig, counts: _Counts) -> Iterator[bytes]:
    """Yield one block of PostgreSQL's COPY text format per page."""
    for page in pages:
        lines = []
        for record in page.records:
            counts.records += 1
            lines.append(_line(parse_json(record), declared, counts.records))
        counts.pages += 1
        counts.server_count = page.server_count if counts.server_count is None else counts.server_count
        yield b"".join(lines)


def _line(record: dict[str, Any], declared: DatasetConfig, sequence: int) -> bytes:
    kept, raw = storable_record(record)
    digest = record_hash(kept)
    named = [str(kept.get(path) if kept.get(path) is not None else "").strip() for path in declared.key]
    source_key = declared.key_prefix + "/".join(named) if all(named) else f"{NO_KEY}{digest[:32]}"
    return b"%d\t%s\t%s\t%s\n" % (sequence, _escaped(source_key.encode()), _escaped(raw), digest.encode())


def _escaped(text: bytes) -> bytes:
    return text.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def _deduplicated(connection: psycopg.Connection[Any]) -> int:
    """Keep the last of each key, and return how many there are."""
    connection.execute("CREATE INDEX ON staged (source_key, sequence)")
    connection.execute(
        "DELETE FROM staged a USING staged b WHERE a.source_key = b.source_key AND a.sequence < b.sequence"
    )
    row = connection.execute("SELECT count(*) FROM staged").fetchone()
    return int(row[0]) if row else 0


_UPSERT = """
    INSERT INTO erp.landed_records AS held
           (system, dataset, partition_date, source_key, raw, hash, changed_at, ingested_at, run_id)
    SELECT %(system)s, %(dataset)s, %(day)s, source_key, raw, hash, %(now)s, %(now)s, %(run_id)s FROM staged
    ON CONFLICT (system, dataset, partition_date, source_key) DO UPDATE
       SET raw = excluded.raw, hash = excluded.hash, run_id = excluded.run_id, ingested_at = excluded.ingested_at,
           changed_at = excluded.changed_at, deleted_at = NULL
     WHERE held.hash <> excluded.hash OR held.deleted_at IS NOT NULL
"""
_VANISHED = """
    UPDATE erp.landed_records held SET deleted_at = %(now)s, run_id = %(run_id)s
     WHERE system = %(system)s AND dataset = %(dataset)s AND partition_date = %(day)s AND deleted_at IS NULL
       AND NOT EXISTS (SELECT FROM staged WHERE staged.source_key = held.source_key)
"""
_MOVED = """
    UPDATE erp.landed_records held SET deleted_at = %(now)s, run_id = %(run_id)s FROM staged
     WHERE held.system = %(system)s AND held.dataset = %(dataset)s AND held.source_key = staged.source_key
       AND held.partition_date <> %(day)s AND held.deleted_at IS NULL AND NOT starts_with(held.source_key, %(no_key)s)
"""


def _merge(connection: psycopg.Connection[Any], landing: Landing, now: datetime) -> tuple[int, int]:
    """Bring the staged records into the table; return how many were written, and how many vanished."""
    values = {
        "system": landing.system,
        "dataset": landing.dataset,
        "day": landing.day,
        "run_id": landing.run_id,
        "now": now,
        "no_key": NO_KEY,
    }
    written = connection.execute(_UPSERT, values).rowcount
    vanished = connection.execute(_VANISHED, values).rowcount
    connection.execute(_MOVED, values)
    return written, vanished


def _record(connection: psycopg.Connection[Any], landing: Landing, day: LandedDay, now: datetime) -> None:
    connection.execute(
        "INSERT INTO erp.pulls (system, dataset, partition_date, rows, server_count, duplicates, vanished, pages,"
        " duration_s, pulled_at, run_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (system, dataset, partition_date) DO UPDATE SET rows = excluded.rows,"
        " server_count = excluded.server_count, duplicates = excluded.duplicates, vanished = excluded.vanished,"
        " pages = excluded.pages, duration_s = excluded.duration_s, pulled_at = excluded.pulled_at,"
        " run_id = excluded.run_id",
        (
            landing.system,
            landing.dataset,
            landing.day,
            day.rows,
            day.server_count,
            day.duplicates,
            day.vanished,
            day.pages,
            day.duration_s,
            now,
            landing.run_id,
        ),
    )
