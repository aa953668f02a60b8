"""How far the changes of a dataset were read, which days they touched, and what is read next.

The caller gives the connection and commits. Table `erp.cursors`, `erp.touched_days`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from resources.erp.config import SystemConfig
from resources.erp.connector import Changed


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the changes of a dataset were read."""

    position: datetime
    """Changes stamped before this were read, by the system's clock."""
    read_at: datetime
    """When that was, by ours."""
    records: int
    """Records of the last read."""
    written: int
    """Those of them that were new or different."""


def cursor_of(connection: psycopg.Connection[Any], system: str, dataset: str) -> Cursor | None:
    """Return how far a dataset was read; None if its changes never were."""
    with connection.cursor(row_factory=class_row(Cursor)) as rows:
        return rows.execute(
            "SELECT position, read_at, records, written FROM erp.cursors WHERE system = %s AND dataset = %s",
            (system, dataset),
        ).fetchone()


def next_changes(position: datetime | None, config: SystemConfig, *, start: datetime, server_now: datetime) -> Changed:
    """Return which changes are read next.

    The upper bound is commit-safe: a transaction that is under way stamps its records before it commits, so the last
    `change_margin` before the server's time is left to the next read. The lower bound overlaps the last read by
    `change_overlap`, for transactions that took longer still; what comes again unchanged is not written.

    Args:
        position: Up to where changes were read; None if they never were.
        config: Margin and overlap of the system.
        start: Where a first read begins, such as the time of the last full pull.
        server_now: Now, by the system's own clock.
    """
    since = start if position is None else position - config.change_overlap
    until = server_now - config.change_margin
    # a clock that was set back, or a margin made longer, must not take the position back
    return Changed(since, max(until, since if position is None else position))


def advance(
    connection: psycopg.Connection[Any], values: Mapping[str, Any], read: Changed, counts: tuple[int, int]
) -> None:
    """Note that the changes of `read` were read, in the transaction that stores them; `counts` are records, written."""
    records, written = counts
    connection.execute(
        "INSERT INTO erp.cursors AS held (system, dataset, position, read_at, records, written, run_id)"
        " VALUES (%(system)s, %(dataset)s, %(until)s, now(), %(records)s, %(written)s, %(run_id)s)"
        " ON CONFLICT (system, dataset) DO UPDATE SET position = greatest(held.position, excluded.position),"
        " read_at = excluded.read_at, records = excluded.records, written = excluded.written, run_id = excluded.run_id",
        {**values, "until": read.until, "records": records, "written": written},
    )


def touch(connection: psycopg.Connection[Any], values: Mapping[str, Any], days: Iterable[date | None]) -> None:
    """Mark parts whose landed records changed, in the same transaction, until they are standardised again."""
    connection.execute(
        "INSERT INTO erp.touched_days (system, dataset, partition_date, touched_at, run_id)"
        " SELECT %(system)s, %(dataset)s, day, now(), %(run_id)s FROM unnest(%(days)s::date[]) AS part (day)"
        " ON CONFLICT (system, dataset, partition_date) DO UPDATE"
        " SET touched_at = excluded.touched_at, run_id = excluded.run_id",
        {**values, "days": list(days)},
    )


def touched_days(
    connection: psycopg.Connection[Any], system: str, dataset: str, *, run_id: str | None = None
) -> list[date | None]:
    """Return the business days that are to be standardised again, in order; None stands for master data.

    With `run_id`, those that this run touched last.
    """
    rows = connection.execute(
        "SELECT partition_date FROM erp.touched_days WHERE system = %s AND dataset = %s"
        " AND (%s::text IS NULL OR run_id = %s) ORDER BY partition_date",
        (system, dataset, run_id, run_id),
    )
    return [row[0] for row in rows]
