"""Landing what changed since the last read, and looking for what was deleted: both say which days they touched.

The caller gives the connection and commits; an error leaves what is stored as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg import sql

from resources.erp.connector import Changed
from resources.erp.cursors import advance, touch
from resources.erp.declared import split_path
from resources.erp.landed.landing import Counts, Landing, lock_dataset, ready_batches, refuse_missing, store
from resources.erp.landed.rows import RecordReader
from resources.erp.landed.staging import Staged, of_part
from resources.erp.records import RecordPage


@dataclass(frozen=True, slots=True)
class LandedChanges:
    """What a read of changes did."""

    records: int
    """Records read, each key once."""
    written: int
    """Those of them that were new, changed or returned."""
    moved: int
    """Those that stood under another day before, and have left it: also where their new day is none, or not kept."""
    undated: int
    """Those without a readable business date; they are in `erp.rejected_records`."""
    outside: int
    """Those of days before the first one that is kept; they are not stored."""
    touched: tuple[date | None, ...]
    """Days whose landed records are others now, in order; None stands for master data."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What looking for deletions found."""

    keys: int
    """Keys the system has."""
    vanished: int
    """Records it no longer has, now marked as deleted."""
    unknown: int
    """Keys that are not landed: the day should be pulled."""


def land_changes(
    connection: psycopg.Connection[Any],
    landing: Landing,
    pages: Iterable[RecordPage],
    *,
    read: Changed,
    now: datetime,
    first_day: date | None = None,
) -> LandedChanges:
    """Land the records of `pages`, each under its own business day, and move the cursor to the end of `read`.

    Days are not replaced: records that did not come stay as they are. A record that is stored the same is not written.

    Args:
        connection: In a transaction, which the caller commits.
        landing: Its day is None.
        pages: What changed; master data as well as facts.
        read: What was asked for.
        now: When.
        first_day: First business day that is kept; all if None.

    Raises:
        SourceError: As `resources.erp.landed.landing.land_day`; the cursor stays.
    """
    assert landing.day is None, "changes are of many days"
    lock_dataset(connection, landing)
    values = {**landing.values, "now": now}
    with Staged(connection) as staged:
        unique = _stage(landing, pages, staged)
        undated = outside = 0
        moved: dict[date | None, int] = {}
        if landing.declared.business_date is not None:
            undated = _date(connection, landing, landing.declared.business_date)
            # before any is left out: it has left its old day, whatever the new one is
            moved = dict(connection.execute(_MOVED, values).fetchall())
            outside = _leave_out(connection, first_day)
        written = dict(connection.execute(_UPSERT, values).fetchall())
    days = tuple(sorted({*written, *moved}, key=lambda day: day or date.min))
    touch(connection, landing.values, days)
    advance(connection, landing.values, read, (unique, sum(written.values())))
    return LandedChanges(unique, sum(written.values()), sum(moved.values()), undated, outside, days)


def _stage(landing: Landing, pages: Iterable[RecordPage], staged: Staged) -> int:
    """Stage what came, each key once, and return how many there are."""
    reader, counts = RecordReader(landing.declared), Counts()
    with closing(ready_batches(landing, reader, pages, counts)) as ready:
        for batch in ready:
            store(landing, reader, batch, into=staged.add)
    unique = staged.deduplicate()
    refuse_missing(landing, counts, unique)
    return unique


def _date(connection: psycopg.Connection[Any], landing: Landing, path: str) -> int:
    """Give each staged record its business day; reject those without one, and return how many they are."""
    value = sql.SQL("raw #>> {}::text[]").format(sql.Literal(list(split_path(path))))
    named = [row[0] for row in connection.execute(sql.SQL("SELECT DISTINCT {} FROM staged").format(value))]
    days = {text: day for text in named if (day := landing.day_of(text)) is not None}
    connection.execute(
        sql.SQL(
            "UPDATE staged SET day = named.day FROM unnest(%s::text[], %s::date[]) AS named (text, day)"
            " WHERE {} = named.text"
        ).format(value),
        (list(days), list(days.values())),
    )
    reason = f"{path} is missing or no date: the record belongs to no business day"
    connection.execute(_FORGET_UNDATED, landing.values)
    return connection.execute(_UNDATED, {**landing.values, "reasons": [reason]}).rowcount


def _leave_out(connection: psycopg.Connection[Any], first_day: date | None) -> int:
    """Take out what is not stored, and return how many records are of days before the first one that is kept."""
    connection.execute("DELETE FROM staged WHERE day IS NULL")
    if first_day is None:
        return 0
    return connection.execute("DELETE FROM staged WHERE day < %s", (first_day,)).rowcount


_FORGET_UNDATED = """
    DELETE FROM erp.rejected_records USING staged
     WHERE system = %(system)s AND dataset = %(dataset)s AND partition_date IS NULL
       AND rejected_records.source_key = staged.source_key
"""
_UNDATED = """
    INSERT INTO erp.rejected_records
           (system, dataset, partition_date, source_key, raw, reasons, run_id, rejected_at)
    SELECT %(system)s, %(dataset)s, NULL, source_key, raw, %(reasons)s, %(run_id)s, now() FROM staged WHERE day IS NULL
"""
_UPSERT = """
    WITH written AS (
    INSERT INTO erp.landed_records AS held
           (system, dataset, partition_date, source_key, raw, hash, changed_at, ingested_at, run_id)
    SELECT %(system)s, %(dataset)s, day, source_key, raw, hash, %(now)s, %(now)s, %(run_id)s FROM staged
     WHERE NOT EXISTS (SELECT FROM erp.landed_records same WHERE same.system = %(system)s
           AND same.dataset = %(dataset)s AND same.source_key = staged.source_key
           AND same.partition_date IS NOT DISTINCT FROM staged.day
           AND same.hash = staged.hash AND same.deleted_at IS NULL)
    ON CONFLICT (system, dataset, partition_date, source_key) DO UPDATE
       SET raw = excluded.raw, hash = excluded.hash, run_id = excluded.run_id, ingested_at = excluded.ingested_at,
           changed_at = excluded.changed_at, deleted_at = NULL
    RETURNING partition_date)
    SELECT partition_date, count(*) FROM written GROUP BY 1
"""
_MOVED = """
    WITH moved AS (
    UPDATE erp.landed_records held SET deleted_at = %(now)s, run_id = %(run_id)s FROM staged
     WHERE held.system = %(system)s AND held.dataset = %(dataset)s AND held.source_key = staged.source_key
       AND held.partition_date IS NOT NULL AND held.partition_date IS DISTINCT FROM staged.day
       AND held.deleted_at IS NULL
       AND NOT starts_with(held.source_key, %(no_key)s)
    RETURNING held.partition_date)
    SELECT partition_date, count(*) FROM moved GROUP BY 1
"""


def sweep_day(
    connection: psycopg.Connection[Any], landing: Landing, pages: Iterable[RecordPage], *, now: datetime
) -> Swept:
    """Mark the records of a day, or of master data, that the system no longer has; the day counts as touched then.

    Args:
        connection: In a transaction, which the caller commits.
        landing: The day.
        pages: Its records as the system has them now; their keys are enough.
        now: When.

    Raises:
        SourceError: As `resources.erp.landed.landing.land_day`; nothing is marked.
    """
    lock_dataset(connection, landing)
    values = {**landing.values, "now": now}
    with Staged(connection) as staged:
        keys = _stage(landing, pages, staged)
        unknown = connection.execute(of_part(_UNKNOWN, values), values).fetchone()
        vanished = staged.mark_vanished(landing.values, now, keyed_only=True)
    if vanished:
        touch(connection, landing.values, [landing.day])
    return Swept(keys, vanished, int(unknown[0]) if unknown else 0)


_UNKNOWN = """
    SELECT count(*) FROM staged WHERE NOT starts_with(source_key, %(no_key)s) AND NOT EXISTS (
           SELECT FROM erp.landed_records held WHERE {part} AND held.source_key = staged.source_key
              AND deleted_at IS NULL)
"""
