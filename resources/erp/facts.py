"""What is stored of ERP days, counted in the database: the ground that checks judge on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class PullFacts:
    """What the last pull of a day brought, from the ledger `erp.pulls`."""

    day: date
    rows: int
    server_count: int | None
    duplicates: int
    vanished: int
    pulled_at: datetime


@dataclass(frozen=True, slots=True)
class EnergyFacts:
    """What `erp.energy_consumption` holds of a day, over all systems."""

    day: date
    rows: int
    rejected: int
    same_time: int
    """Rows that share meter and time with another one of the same system: counted twice, most likely."""
    mixed_units: int
    """Meters that have more than one unit that day."""


def pull_facts(connection: psycopg.Connection[Any], system: str, dataset: str, days: Sequence[date]) -> list[PullFacts]:
    """Return the facts of the days that were pulled, by day."""
    with connection.cursor(row_factory=class_row(PullFacts)) as cursor:
        return cursor.execute(
            "SELECT partition_date AS day, rows, server_count, duplicates, vanished, pulled_at FROM erp.pulls"
            " WHERE system = %s AND dataset = %s AND partition_date = ANY(%s) ORDER BY partition_date",
            (system, dataset, list(days)),
        ).fetchall()


def last_pulled_day(connection: psycopg.Connection[Any], system: str, dataset: str) -> date | None:
    """Return the latest business day that was ever pulled, None if none was."""
    row = connection.execute(
        "SELECT max(partition_date) FROM erp.pulls WHERE system = %s AND dataset = %s", (system, dataset)
    ).fetchone()
    return row[0] if row else None


def recent_days(connection: psycopg.Connection[Any], dataset: str, limit: int) -> list[date]:
    """Return the latest days pulled of a dataset, from any system, newest first."""
    rows = connection.execute(
        "SELECT DISTINCT partition_date FROM erp.pulls WHERE dataset = %s AND partition_date IS NOT NULL"
        " ORDER BY partition_date DESC LIMIT %s",
        (dataset, limit),
    )
    return [row[0] for row in rows]


_ENERGY = """
    SELECT asked.day,
           coalesce(held.rows, 0) AS rows,
           (SELECT count(*) FROM erp.rejected_records r
             WHERE r.dataset = 'energy_consumption' AND r.partition_date = asked.day) AS rejected,
           coalesce(held.rows - held.times, 0) AS same_time,
           coalesce(held.units - held.meters, 0) AS mixed_units
      FROM unnest(%s::date[]) AS asked (day)
      LEFT JOIN (
           SELECT transaction_date, count(*) AS rows,
                  count(DISTINCT (system, meter_id, period_end)) AS times,
                  count(DISTINCT (system, meter_id, consumption_unit)) AS units,
                  count(DISTINCT (system, meter_id)) AS meters
             FROM erp.energy_consumption WHERE transaction_date = ANY(%s) GROUP BY transaction_date
           ) held ON held.transaction_date = asked.day
     ORDER BY asked.day
"""


def energy_facts(connection: psycopg.Connection[Any], days: Sequence[date]) -> list[EnergyFacts]:
    """Return the facts of each of `days`, by day."""
    with connection.cursor(row_factory=class_row(EnergyFacts)) as cursor:
        return cursor.execute(sql.SQL(_ENERGY), (list(days), list(days))).fetchall()
