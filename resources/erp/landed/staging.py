"""Rows brought into `erp.landed_records`: straight by COPY where nothing is stored, else through a staging table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from resources.erp.landed.rows import COPY_HEADER, COPY_TRAILER, Row, columns_count, copy_block, copy_fields


def of_part(statement: str, values: Mapping[str, Any]) -> sql.Composed:
    """Return a statement that has `{part}` for the condition that picks the day of `values`, or what has no day."""
    day = "partition_date IS NULL" if values["day"] is None else "partition_date = %(day)s"
    return sql.SQL(statement).format(part=sql.SQL(f"system = %(system)s AND dataset = %(dataset)s AND {day}"))


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one or several pages."""

    records: list[bytes]
    """As they came."""
    rows: list[Row]
    page: int
    """Number of the last page among them."""


def _copy(connection: psycopg.Connection[Any], statement: str, block: bytes) -> None:
    """Run one binary COPY in a savepoint: what it refuses leaves the transaction as it was."""
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
        for part in (COPY_HEADER, block, COPY_TRAILER):  # joined they would be copied once more
            copy.write(part)


class Staged:
    """A temporary table of rows, made when it is needed; `with` takes it away."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work in the transaction of `connection`."""
        self._connection = connection
        self._is_made = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # after an error the transaction is rolled back, and the table with it
        if error is None and self._is_made:
            self._connection.execute("DROP TABLE staged")

    def _make(self) -> None:
        # a backfill of new days needs none: the catalog is spared thousands of tables
        if not self._is_made:
            self._connection.execute(
                "CREATE TEMP TABLE staged (sequence bigint GENERATED ALWAYS AS IDENTITY, source_key text, raw jsonb,"
                " hash text, day date) ON COMMIT DROP"
            )
            self._is_made = True

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows at the end.

        Raises:
            psycopg.DataError: PostgreSQL cannot keep one of them; none is added.
        """
        self._make()
        block = copy_block(rows, columns_count(3), b"")
        _copy(self._connection, "COPY staged (source_key, raw, hash) FROM STDIN (FORMAT BINARY)", block)

    def deduplicate(self) -> int:
        """Keep the last of each key, and return how many there are."""
        self._make()
        connection = self._connection
        row = connection.execute("SELECT count(*), count(DISTINCT source_key) FROM staged").fetchone() or (0, 0)
        if row[0] != row[1]:
            connection.execute("CREATE INDEX IF NOT EXISTS staged_key ON staged (source_key, sequence)")
            connection.execute(
                "DELETE FROM staged a USING staged b WHERE a.source_key = b.source_key AND a.sequence < b.sequence"
            )
        connection.execute("ANALYZE staged")
        return int(row[1])

    def replace(self, values: Mapping[str, Any], now: datetime) -> tuple[int, int]:
        """Make the part of `values` hold these rows and no others; return how many were written, and how many vanished.

        What is stored the same is not touched.
        """
        asked = {**values, "now": now}
        written = self._connection.execute(of_part(_UPSERT, asked), asked).rowcount
        return written, self.mark_vanished(values, now)

    def mark_vanished(self, values: Mapping[str, Any], now: datetime, *, keyed_only: bool = False) -> int:
        """Mark what is stored of the part of `values` and not among these rows as deleted; return how many.

        With `keyed_only`, records without key are left alone: rows of keys say nothing of them.
        """
        asked = {**values, "now": now, "keyed_only": keyed_only}
        return self._connection.execute(of_part(_VANISHED, asked), asked).rowcount

    def clear(self) -> None:
        """Take all rows out."""
        self._connection.execute("TRUNCATE staged RESTART IDENTITY")


_UPSERT = """
    INSERT INTO erp.landed_records AS held
           (system, dataset, partition_date, source_key, raw, hash, changed_at, ingested_at, run_id)
    SELECT %(system)s, %(dataset)s, %(day)s::date, source_key, raw, hash, %(now)s, %(now)s, %(run_id)s FROM staged
     WHERE NOT EXISTS (SELECT FROM erp.landed_records same WHERE {part} AND same.source_key = staged.source_key
           AND same.hash = staged.hash AND deleted_at IS NULL)
    ON CONFLICT (system, dataset, partition_date, source_key) DO UPDATE
       SET raw = excluded.raw, hash = excluded.hash, run_id = excluded.run_id, ingested_at = excluded.ingested_at,
           changed_at = excluded.changed_at, deleted_at = NULL
"""
_VANISHED = """
    UPDATE erp.landed_records held SET deleted_at = %(now)s, run_id = %(run_id)s
     WHERE {part} AND deleted_at IS NULL
       AND NOT EXISTS (SELECT FROM staged WHERE staged.source_key = held.source_key)
       AND NOT (%(keyed_only)s AND starts_with(held.source_key, %(no_key)s))
"""
_STOOD = """
    SELECT count(*) FROM erp.landed_records JOIN staged USING (source_key) WHERE {part}
"""


class LandedTable:
    """The part of `erp.landed_records` that is landed, of which nothing was stored before."""

    def __init__(
        self, connection: psycopg.Connection[Any], staged: Staged, values: Mapping[str, Any], now: datetime
    ) -> None:
        """Bring rows of the part of `values` in; keys that come twice go through `staged`."""
        self._connection, self._staged, self._values, self._now = connection, staged, values, now
        self._before = columns_count(9) + copy_fields(values["system"], values["dataset"], values["day"])
        self._after = copy_fields(now, now, values["run_id"])
        self.rows = 0
        """Keys brought in so far."""

    def add(self, rows: Sequence[Row]) -> None:
        """Bring rows in; of a key that came before, this one counts.

        Raises:
            psycopg.DataError: PostgreSQL cannot keep one of them; none is brought in.
        """
        try:
            _copy(
                self._connection,
                "COPY erp.landed_records (system, dataset, partition_date, source_key, raw, hash, changed_at,"
                " ingested_at, run_id) FROM STDIN (FORMAT BINARY)",
                copy_block(rows, self._before, self._after),
            )
            self.rows += len(rows)
        except psycopg.errors.UniqueViolation:
            self._staged.add(rows)
            self.rows += self._staged.deduplicate()
            asked = {**self._values, "now": self._now}
            stood = self._connection.execute(of_part(_STOOD, asked), asked).fetchone()
            self.rows -= int(stood[0]) if stood else 0
            self._connection.execute(of_part(_UPSERT, asked), asked)
            self._staged.clear()
