"""Reading what was rejected: readings and ERP records, each with the original and its reasons. psycopg only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

_READINGS = """
SELECT time, sensor_id, source, collector, window_start, raw, reasons, rejected_at, run_id
FROM scada.rejected_readings
WHERE (%(sensor_id)s::text IS NULL OR sensor_id = %(sensor_id)s)
  AND (%(source)s::text IS NULL OR source = %(source)s)
  AND (%(window_start)s::timestamptz IS NULL OR window_start = %(window_start)s)
ORDER BY window_start DESC, rejected_at DESC, sequence DESC LIMIT %(limit)s
"""
_REASONS = """
SELECT source, unnest(reasons) AS reason, count(*) AS rows, max(rejected_at) AS last_at
FROM scada.rejected_readings
WHERE (%(sensor_id)s::text IS NULL OR sensor_id = %(sensor_id)s)
  AND (%(source)s::text IS NULL OR source = %(source)s)
  AND (%(window_start)s::timestamptz IS NULL OR window_start = %(window_start)s)
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %(limit)s
"""
_RECORDS = """
SELECT system, dataset, partition_date, raw, reasons, rejected_at, run_id FROM erp.rejected_records
WHERE (%(system)s::text IS NULL OR system = %(system)s) ORDER BY rejected_at DESC LIMIT %(limit)s
"""


def rejected_readings(
    connection: psycopg.Connection,
    *,
    sensor_id: str | None = None,
    source: str | None = None,
    window_start: datetime | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return rejected readings, newest window first."""
    terms = {"sensor_id": sensor_id, "source": source, "window_start": window_start, "limit": limit}
    return _rows(connection, _READINGS, terms)


def rejection_reasons(
    connection: psycopg.Connection,
    *,
    sensor_id: str | None = None,
    source: str | None = None,
    window_start: datetime | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return source, reason, how many rows and the last time, most frequent first."""
    terms = {"sensor_id": sensor_id, "source": source, "window_start": window_start, "limit": limit}
    return _rows(connection, _REASONS, terms)


def rejected_records(
    connection: psycopg.Connection, *, system: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Return rejected ERP records, newest first."""
    return _rows(connection, _RECORDS, {"system": system, "limit": limit})


def _rows(connection: psycopg.Connection, query: str, terms: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, terms).fetchall()
