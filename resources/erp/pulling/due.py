"""Which landed parts the standard tables have not taken in yet, by the ledgers alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class DuePart:
    """A part whose landed records are newer than what was made of them."""

    system: str
    dataset: str
    day: date | None
    """None for master data."""
    since: datetime
    """When the records changed last."""


def due_parts(connection: psycopg.Connection[Any]) -> list[DuePart]:
    """Return the parts that were pulled, changed or swept since they were standardised last, if they ever were."""
    with connection.cursor(row_factory=class_row(DuePart)) as cursor:
        return cursor.execute(_DUE).fetchall()


_DUE = """
    SELECT system, dataset, partition_date AS day, max(since) AS since FROM (
           SELECT pulls.system, pulls.dataset, pulls.partition_date, pulls.pulled_at AS since FROM erp.pulls
             LEFT JOIN erp.standardised done ON done.system = pulls.system AND done.dataset = pulls.dataset
                  AND done.partition_date IS NOT DISTINCT FROM pulls.partition_date
            WHERE done.standardised_at IS NULL OR done.standardised_at < pulls.pulled_at
            UNION ALL
           SELECT system, dataset, partition_date, touched_at FROM erp.touched_days) part
     GROUP BY system, dataset, partition_date ORDER BY system, dataset, partition_date
"""
