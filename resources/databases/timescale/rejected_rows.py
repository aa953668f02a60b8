"""Reading what was rejected: readings and ERP records, each with the original and its reasons. psycopg only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
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
_OF_RECORDS = """
FROM erp.rejected_records
WHERE (%(system)s::text IS NULL OR system = %(system)s)
  AND (%(dataset)s::text IS NULL OR dataset = %(dataset)s)
  AND (%(day)s::date IS NULL OR partition_date = %(day)s)
"""
_RECORDS = f"""
SELECT rejected_id, system, dataset, partition_date, source_key, raw, reasons, rejected_at, run_id
{_OF_RECORDS} ORDER BY rejected_at DESC, rejected_id DESC LIMIT %(limit)s
"""
_RECORD_REASONS = f"""
SELECT system, dataset, unnest(reasons) AS reason, count(*) AS rows, max(partition_date) AS last_day
{_OF_RECORDS} GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT %(limit)s
"""
_RECORD = """
SELECT rejected_id, system, dataset, partition_date, source_key, raw, reasons, rejected_at, run_id
FROM erp.rejected_records WHERE rejected_id = %(rejected_id)s
"""


@dataclass(frozen=True, slots=True)
class RecordsAskedFor:
    """Which rejected ERP records are meant; None means all."""

    system: str | None = None
    dataset: str | None = None
    day: date | None = None
    limit: int = 100


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


def rejected_records(connection: psycopg.Connection, asked: RecordsAskedFor) -> list[dict[str, Any]]:
    """Return rejected ERP records, newest first."""
    return _rows(connection, _RECORDS, asdict(asked))


def rejected_record_reasons(connection: psycopg.Connection, asked: RecordsAskedFor) -> list[dict[str, Any]]:
    """Return system, dataset, reason, how many records and the last business day, most frequent first."""
    return _rows(connection, _RECORD_REASONS, asdict(asked))


def rejected_record(connection: psycopg.Connection, rejected_id: int) -> dict[str, Any] | None:
    """Return one rejected ERP record as it was kept, None if it is there no longer."""
    found = _rows(connection, _RECORD, {"rejected_id": rejected_id})
    return found[0] if found else None


def _rows(connection: psycopg.Connection, query: str, terms: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, terms).fetchall()
