"""The standard tables: the keys of one landed day brought in, those that left it taken out, in one transaction.

Data-driven: a table is its name and its columns. The caller gives the connection and commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from resources.transport.json_text import parse_json


@dataclass(frozen=True, slots=True)
class StandardTable:
    """A table of standard fields: `erp.<dataset>`, its columns in order, and the one that holds the business day."""

    dataset: str
    columns: tuple[str, ...]
    business_date: str


@dataclass(frozen=True, slots=True)
class LandedRecord:
    """One landed record as it was kept."""

    source_key: str
    raw: dict[str, Any]
    changed_at: datetime | None
    ingested_at: datetime


@dataclass(frozen=True, slots=True)
class DayOfSystem:
    """Whose day is brought in, by which run."""

    system: str
    day: date
    run_id: str


def landed_records(connection: psycopg.Connection[Any], dataset: str, day: date, system: str) -> list[LandedRecord]:
    """Return what is landed for a day, without what was deleted, by key."""
    rows = connection.execute(
        "SELECT source_key, raw::text, changed_at, ingested_at FROM erp.landed_records"
        " WHERE system = %s AND dataset = %s AND partition_date = %s AND deleted_at IS NULL ORDER BY source_key",
        (system, dataset, day),
    )
    return [LandedRecord(key, parse_json(raw.encode()), changed, ingested) for key, raw, changed, ingested in rows]


def lock_day(connection: psycopg.Connection[Any], dataset: str, day: DayOfSystem) -> None:
    """Wait for another run that works on the same day; held until the transaction ends."""
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"erp.{dataset}/{day.system}/{day.day}",)
    )


def replace_day(
    connection: psycopg.Connection[Any],
    table: StandardTable,
    day: DayOfSystem,
    rows: pa.Table,
    rejected: pa.Table,
    withdrawn: Sequence[str] = (),
) -> int:
    """Bring a day's rows in; return how many keys left the table.

    A key that stood under another day moves. A key of that day leaves if it is not among `rows`, unless it is landed
    under another day, whose own run will move it; a rejected or withdrawn one leaves wherever it stands.

    Args:
        connection: In a transaction, which the caller commits.
        table: Where.
        day: Whose.
        rows: The columns of `table`; keys are unique.
        rejected: source_key, raw (JSON text), reasons; replaces the day's rejected records.
        withdrawn: Keys of that day that no longer count, such as reversed documents.
    """
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    name = sql.Identifier("erp", table.dataset)
    connection.execute(
        sql.SQL("CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(columns, name)
    )
    _copy(connection, sql.SQL("COPY incoming ({}) FROM STDIN (FORMAT CSV)").format(columns), rows.select(table.columns))
    left = _remove(connection, table, day, [*rejected.column("source_key").to_pylist(), *withdrawn])
    changes = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column))
        for column in table.columns
        if column not in ("system", "source_key")
    )
    connection.execute(
        sql.SQL(
            "INSERT INTO {0} ({1}) SELECT {1} FROM incoming ON CONFLICT (system, source_key) DO UPDATE SET {2}"
        ).format(name, columns, changes)
    )
    _reject(connection, table.dataset, day, rejected)
    connection.execute("DROP TABLE incoming")
    return left


def _remove(connection: psycopg.Connection[Any], table: StandardTable, day: DayOfSystem, gone: list[str]) -> int:
    statement = sql.SQL(
        "DELETE FROM {} held WHERE system = %(system)s AND (source_key = ANY(%(gone)s) OR ({} = %(day)s"
        " AND NOT EXISTS (SELECT FROM incoming WHERE incoming.source_key = held.source_key)"
        " AND NOT EXISTS (SELECT FROM erp.landed_records landed WHERE landed.system = %(system)s"
        "  AND landed.dataset = %(dataset)s AND landed.source_key = held.source_key"
        "  AND landed.partition_date <> %(day)s AND landed.deleted_at IS NULL)))"
    ).format(sql.Identifier("erp", table.dataset), sql.Identifier(table.business_date))
    values = {"system": day.system, "dataset": table.dataset, "day": day.day, "gone": gone}
    return connection.execute(statement, values).rowcount


def _reject(connection: psycopg.Connection[Any], dataset: str, day: DayOfSystem, rejected: pa.Table) -> None:
    connection.execute(
        "DELETE FROM erp.rejected_records WHERE system = %s AND dataset = %s AND partition_date = %s",
        (day.system, dataset, day.day),
    )
    if not rejected.num_rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO erp.rejected_records"
            " (system, dataset, partition_date, source_key, raw, reasons, run_id, rejected_at)"
            " VALUES (%s, %s, %s, %s, %s::jsonb, %s, %s, now())",
            [
                (day.system, dataset, day.day, row["source_key"], row["raw"], row["reasons"], day.run_id)
                for row in rejected.select(["source_key", "raw", "reasons"]).to_pylist()
            ],
        )


def _copy(connection: psycopg.Connection[Any], statement: sql.Composed, rows: pa.Table) -> None:
    text = BytesIO()
    # "needed" quotes every text and no null, which is how COPY tells the two apart
    pa_csv.write_csv(rows, text, pa_csv.WriteOptions(include_header=False, quoting_style="needed"))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(text.getvalue())
