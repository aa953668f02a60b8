"""What is stored of ERP records, counted in the database: the ground that checks judge on.

Every function takes the part to judge: business days, or None for master data, which has none. Results are by day; the
one of master data stands under None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from resources.erp.declared import split_path
from resources.erp.records import NO_KEY
from resources.erp.standardised.incoming import StandardTable

Days = Sequence[date] | None
"""The business days that are judged; None for master data."""
Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class PullAudit:
    """What the last pull of a part brought, and what it left."""

    day: date | None
    rows: int
    server_count: int | None
    duplicates: int
    vanished: int
    """Records that were gone in it; more, where rows of records that were gone before still stand."""
    pulled_at: datetime
    without_key: int
    """Records now stored that the system gave no key."""


@dataclass(frozen=True, slots=True)
class PartAccount:
    """Where the landed records of a part went, over all datasets that fill a table."""

    day: date | None
    landed: int
    rows: int
    """Rows of the table."""
    rejected: int
    withdrawn: int
    behind: int
    """Datasets whose records changed after they were standardised last, or that never were; five minutes are what the
    clocks of the database and of this machine may differ."""


@dataclass(frozen=True, slots=True)
class AmountAccount:
    """An amount as it was landed and as it stands in the table, in absolute values."""

    day: date | None
    landed: Decimal
    """Of the records that are in the table."""
    standard: Decimal
    left_out: Decimal
    """Of those that are not: rejected, withdrawn."""
    unreadable: int
    """Records whose amount is no plain number, in the table or not."""
    rows: int


def _of_days(column: sql.Composable, days: Days) -> sql.Composed:
    """Return the condition that picks a part; not IS NOT DISTINCT FROM, which no index serves."""
    form = "{} IS NULL" if days is None else "{} = ANY(%(days)s)"
    return sql.SQL(form).format(column)


def part_of(table: StandardTable, days: Days) -> tuple[sql.Composable, sql.Composable]:
    """Return the day of a row of a table, and the condition that picks the part, as parts of a statement."""
    if days is None or table.business_date is None:
        return sql.SQL("NULL::date"), sql.SQL("true")
    column = sql.Identifier(table.business_date)
    return column, _of_days(column, days)


_LANDED_DAY = sql.Identifier("partition_date")


def pull_audits(
    connection: Connection, system: str, dataset: str, days: Days, table: StandardTable | None = None
) -> list[PullAudit]:
    """Return the facts of the parts that were pulled, by day.

    With the `table` that the dataset fills, a record that vanished counts for as long as its row stands there: a second
    pull that finds the same would say otherwise that nothing vanished.
    """
    statement = sql.SQL(
        "SELECT partition_date AS day, rows, server_count, duplicates, vanished, pulled_at,"
        " (SELECT count(*) FROM erp.landed_records held WHERE held.system = pulls.system"
        "   AND held.dataset = pulls.dataset AND starts_with(held.source_key, %(no_key)s) AND held.deleted_at IS NULL"
        "   AND {held}) AS without_key"
        " FROM erp.pulls WHERE system = %(system)s AND dataset = %(dataset)s AND {part} ORDER BY partition_date"
    ).format(
        part=_of_days(_LANDED_DAY, days),
        held=sql.SQL("held.partition_date IS NULL" if days is None else "held.partition_date = pulls.partition_date"),
    )
    values = {"system": system, "dataset": dataset, "days": days, "no_key": NO_KEY}
    with connection.cursor(row_factory=class_row(PullAudit)) as cursor:
        audits = cursor.execute(statement, values).fetchall()
    standing = rows_of_vanished(connection, table, (system, dataset), days) if table is not None else {}
    return [replace(audit, vanished=max(audit.vanished, standing.get(audit.day, 0))) for audit in audits]


_ROWS_OF_VANISHED = """
    SELECT gone.partition_date, count(*) FROM erp.landed_records gone
      JOIN {table} held ON held.system = gone.system AND held.source_key = gone.source_key AND {same_day}
     WHERE gone.system = %(system)s AND gone.dataset = %(dataset)s AND {part} AND gone.deleted_at IS NOT NULL
       AND NOT EXISTS (SELECT FROM erp.landed_records other WHERE other.source_key = gone.source_key
           AND other.system = gone.system AND other.dataset = gone.dataset AND other.deleted_at IS NULL)
     GROUP BY 1
"""


def rows_of_vanished(
    connection: Connection, table: StandardTable, feed: tuple[str, str], days: Days
) -> dict[date | None, int]:
    """Return part -> rows of `table` whose landed record vanished; those whose record moved to another day are none."""
    same_day: sql.Composable = sql.SQL("true")
    if days is not None and table.business_date is not None:
        same_day = sql.SQL("held.{} = gone.partition_date").format(sql.Identifier(table.business_date))
    statement = sql.SQL(_ROWS_OF_VANISHED).format(
        table=sql.Identifier("erp", table.name),
        same_day=same_day,
        part=_of_days(sql.Identifier("gone", "partition_date"), days),
    )
    values = {"system": feed[0], "dataset": feed[1], "days": days}
    return dict(connection.execute(statement, values).fetchall())


def last_pull(connection: Connection, system: str, dataset: str) -> tuple[date | None, datetime] | None:
    """Return the latest part that was ever pulled and when; None if none was."""
    return connection.execute(
        "SELECT partition_date, pulled_at FROM erp.pulls WHERE system = %s AND dataset = %s"
        " ORDER BY partition_date DESC NULLS LAST, pulled_at DESC LIMIT 1",
        (system, dataset),
    ).fetchone()


def repeated_records(connection: Connection, system: str, dataset: str, day: date | None) -> int:
    """Return how many records of a part came more than once when it was pulled last; 0 if it never was."""
    part = sql.SQL("partition_date IS NULL" if day is None else "partition_date = %(day)s")
    statement = sql.SQL(
        "SELECT duplicates FROM erp.pulls WHERE system = %(system)s AND dataset = %(dataset)s AND {}"
    ).format(part)
    row = connection.execute(statement, {"system": system, "dataset": dataset, "day": day}).fetchone()
    return int(row[0]) if row else 0


def recent_days(connection: Connection, dataset: str, limit: int) -> list[date]:
    """Return the latest days pulled of a dataset, from any system, newest first."""
    rows = connection.execute(
        "SELECT DISTINCT partition_date FROM erp.pulls WHERE dataset = %s AND partition_date IS NOT NULL"
        " ORDER BY partition_date DESC LIMIT %s",
        (dataset, limit),
    )
    return [row[0] for row in rows]


_ACCOUNTS = """
    SELECT part.day, coalesce(landed.records, 0) AS landed, coalesce(held.rows, 0) AS rows,
           coalesce(refused.records, 0) AS rejected, coalesce(noted.withdrawn, 0)::bigint AS withdrawn,
           coalesce(late.datasets, 0) AS behind
      FROM unnest(%(days)s::date[]) AS part (day)
      LEFT JOIN (SELECT partition_date AS day, count(*) AS records FROM erp.landed_records
                  WHERE (system, dataset) IN (SELECT * FROM unnest(%(systems)s::text[], %(datasets)s::text[]))
                    AND {landed} AND deleted_at IS NULL GROUP BY 1) landed ON landed.day IS NOT DISTINCT FROM part.day
      LEFT JOIN (SELECT {day} AS day, count(*) AS rows FROM {table}
                  WHERE system = ANY(%(systems)s) AND {part} GROUP BY 1) held ON held.day IS NOT DISTINCT FROM part.day
      LEFT JOIN (SELECT partition_date AS day, count(*) AS records FROM erp.rejected_records
                  WHERE (system, dataset) IN (SELECT * FROM unnest(%(systems)s::text[], %(datasets)s::text[]))
                    AND {landed} AND corrected_by IS NULL GROUP BY 1
                ) refused ON refused.day IS NOT DISTINCT FROM part.day
      LEFT JOIN (SELECT partition_date AS day, sum(withdrawn) AS withdrawn FROM erp.standardised
                  WHERE (system, dataset) IN (SELECT * FROM unnest(%(systems)s::text[], %(datasets)s::text[]))
                    AND {landed} GROUP BY 1) noted ON noted.day IS NOT DISTINCT FROM part.day
      LEFT JOIN (SELECT pulls.partition_date AS day, count(*) AS datasets FROM erp.pulls
                   LEFT JOIN erp.standardised done ON done.system = pulls.system AND done.dataset = pulls.dataset
                        AND done.partition_date IS NOT DISTINCT FROM pulls.partition_date
                   LEFT JOIN erp.touched_days touched ON touched.system = pulls.system
                        AND touched.dataset = pulls.dataset
                        AND touched.partition_date IS NOT DISTINCT FROM pulls.partition_date
                  WHERE (pulls.system, pulls.dataset)
                        IN (SELECT * FROM unnest(%(systems)s::text[], %(datasets)s::text[])) AND {pulled}
                    AND (done.standardised_at IS NULL OR done.standardised_at < pulls.pulled_at - interval '5 min'
                         OR touched.touched_at IS NOT NULL)
                  GROUP BY 1) late ON late.day IS NOT DISTINCT FROM part.day
     ORDER BY part.day
"""


def part_accounts(
    connection: Connection, table: StandardTable, feeds: Sequence[tuple[str, str]], days: Days
) -> list[PartAccount]:
    """Return where the landed records of `feeds`, (system, dataset), went."""
    day, part = part_of(table, days)
    statement = sql.SQL(_ACCOUNTS).format(
        day=day,
        part=part,
        table=sql.Identifier("erp", table.name),
        landed=_of_days(_LANDED_DAY, days),
        pulled=_of_days(sql.Identifier("pulls", "partition_date"), days),
    )
    values = {
        "days": [None] if days is None else list(days),
        "systems": [system for system, _ in feeds],
        "datasets": [dataset for _, dataset in feeds],
    }
    with connection.cursor(row_factory=class_row(PartAccount)) as cursor:
        return cursor.execute(statement, values).fetchall()


_PLAIN = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?\s*$"
"""Numbers that PostgreSQL reads as the mapping does; others are left out of both sides."""


def amount_accounts(
    connection: Connection,
    table: StandardTable,
    feed: tuple[str, str],
    days: Days,
    *,
    path: str,
    column: str,
) -> list[AmountAccount]:
    """Return how the landed amounts at `path` of a feed, (system, dataset), compare with `column` of the table.

    Where the path holds 0, another property gave the amount (credit beside debit): such rows are left out.
    """
    statement = sql.SQL(
        "SELECT day, coalesce(sum(given) FILTER (WHERE is_held), 0) AS landed, coalesce(sum(kept), 0) AS standard,"
        " coalesce(sum(given) FILTER (WHERE NOT is_held), 0) AS left_out,"
        " count(*) FILTER (WHERE text IS NOT NULL AND given IS NULL) AS unreadable, count(*) AS rows"
        " FROM (SELECT landed.partition_date AS day, text, held.source_key IS NOT NULL AS is_held,"
        "   CASE WHEN text ~ %(plain)s THEN abs(text::numeric) END AS given,"
        "   CASE WHEN text ~ %(plain)s AND text::numeric <> 0 THEN abs(held.{column}) END AS kept"
        "  FROM erp.landed_records landed CROSS JOIN LATERAL (SELECT raw #>> %(path)s AS text) amount"
        "  LEFT JOIN {table} held ON held.system = landed.system AND held.source_key = landed.source_key"
        "  WHERE landed.system = %(system)s AND landed.dataset = %(dataset)s AND {part} AND landed.deleted_at IS NULL"
        " ) compared GROUP BY day ORDER BY day"
    ).format(
        table=sql.Identifier("erp", table.name),
        column=sql.Identifier(column),
        part=_of_days(sql.Identifier("landed", "partition_date"), days),
    )
    system, dataset = feed
    values = {"system": system, "dataset": dataset, "days": days, "path": list(split_path(path)), "plain": _PLAIN}
    with connection.cursor(row_factory=class_row(AmountAccount)) as cursor:
        return cursor.execute(statement, values).fetchall()
