"""Reading what was rejected: readings and ERP records, each with the original and its reasons. psycopg only.

A rejected row that was corrected keeps standing and says by which batch of corrections (`corrected_by`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

_CORRECTED_BY = """
(SELECT max(c.correction_id) FROM quality.corrected_readings c
  WHERE c.window_start = r.window_start AND c.sequence = r.sequence AND c.collector = r.collector AND c.site = r.site
    AND c.outcome IN ('stored', 'standing'))
"""
_OF_READINGS = f"""
FROM (SELECT r.*, {_CORRECTED_BY} AS corrected_by FROM scada.rejected_readings r
       WHERE (%(site)s::text IS NULL OR site = %(site)s)
         AND (%(collectors)s::text[] IS NULL OR collector = ANY(%(collectors)s))
         AND (%(sensor_id)s::text IS NULL OR sensor_id = %(sensor_id)s)
         AND (%(source)s::text IS NULL OR source = %(source)s)
         AND (%(window_start)s::timestamptz IS NULL OR window_start = %(window_start)s)
         AND window_start >= coalesce(%(since)s::timestamptz, '-infinity')
         AND window_start < coalesce(%(until)s::timestamptz, 'infinity')
         AND (%(reason)s::text IS NULL OR EXISTS (
              SELECT FROM unnest(reasons) AS one WHERE position(lower(%(reason)s) IN lower(one)) > 0))) r
WHERE NOT (%(only_open)s AND corrected_by IS NOT NULL)
"""
_READINGS = f"""
SELECT site, time, sensor_id, source, collector, window_start, sequence, raw, reasons, rejected_at, run_id, corrected_by
{_OF_READINGS} ORDER BY window_start DESC, rejected_at DESC, sequence DESC LIMIT %(limit)s
"""
_REASONS = f"""
SELECT source, unnest(reasons) AS reason, count(*) AS rows, count(corrected_by) AS corrected,
       max(rejected_at) AS last_at
{_OF_READINGS} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %(limit)s
"""
_NAMED = f"""
SELECT r.site, r.time, r.sensor_id, r.source, r.collector, r.window_start, r.sequence, r.raw, r.reasons, r.rejected_at,
       r.run_id, {_CORRECTED_BY} AS corrected_by
FROM unnest(%(sites)s::text[], %(collectors)s::text[], %(windows)s::timestamptz[], %(sequences)s::int8[])
     AS asked(site, collector, window_start, sequence)
JOIN scada.rejected_readings r USING (site, collector, window_start, sequence)
"""
_OF_RECORDS = """
FROM erp.rejected_records
WHERE (%(system)s::text IS NULL OR system = %(system)s)
  AND (%(dataset)s::text IS NULL OR dataset = %(dataset)s)
  AND (%(day)s::date IS NULL OR partition_date = %(day)s)
  AND (%(ids)s::int8[] IS NULL OR rejected_id = ANY(%(ids)s))
  AND (%(reason)s::text IS NULL OR EXISTS (
       SELECT FROM unnest(reasons) AS one WHERE position(lower(%(reason)s) IN lower(one)) > 0))
  AND NOT (%(only_open)s AND corrected_by IS NOT NULL)
"""
_RECORDS = f"""
SELECT rejected_id, system, dataset, partition_date, source_key, raw, reasons, rejected_at, run_id, corrected_by
{_OF_RECORDS} ORDER BY rejected_at DESC, rejected_id DESC LIMIT %(limit)s
"""
_RECORD_REASONS = f"""
SELECT system, dataset, unnest(reasons) AS reason, count(*) AS rows, count(corrected_by) AS corrected,
       max(partition_date) AS last_day
{_OF_RECORDS} GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class ReadingsAskedFor:
    """Which rejected readings are meant; None means all."""

    site: str | None = None
    collectors: list[str] | None = None
    """Names they are stored under."""
    sensor_id: str | None = None
    source: str | None = None
    window_start: datetime | None = None
    since: datetime | None = None
    """Of windows that start at this instant or later."""
    until: datetime | None = None
    """Of windows that start before this instant."""
    reason: str | None = None
    """Part of a reason, in any case."""
    only_open: bool = False
    """Only those that no batch has corrected."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class RecordsAskedFor:
    """Which rejected ERP records are meant; None means all."""

    system: str | None = None
    dataset: str | None = None
    day: date | None = None
    limit: int = 100
    ids: list[int] | None = None
    reason: str | None = None
    """Part of a reason, in any case."""
    only_open: bool = False
    """Only those that no batch has corrected."""


def rejected_readings(connection: psycopg.Connection, asked: ReadingsAskedFor) -> list[dict[str, Any]]:
    """Return rejected readings, newest window first."""
    return _rows(connection, _READINGS, asdict(asked))


def rejection_reasons(connection: psycopg.Connection, asked: ReadingsAskedFor) -> list[dict[str, Any]]:
    """Return source, reason, how many rows, how many of them corrected, and the last time, most frequent first."""
    return _rows(connection, _REASONS, asdict(asked))


def named_readings(
    connection: psycopg.Connection, keys: Sequence[tuple[str, str, datetime, int]]
) -> list[dict[str, Any]]:
    """Return the rejected readings of these keys (site, collector, window_start, sequence) that are there."""
    names = ("sites", "collectors", "windows", "sequences")
    columns = zip(*keys, strict=True) if keys else ((),) * len(names)
    return _rows(connection, _NAMED, {name: list(column) for name, column in zip(names, columns, strict=True)})


def rejected_records(connection: psycopg.Connection, asked: RecordsAskedFor) -> list[dict[str, Any]]:
    """Return rejected ERP records, newest first."""
    return _rows(connection, _RECORDS, asdict(asked))


def rejected_record_reasons(connection: psycopg.Connection, asked: RecordsAskedFor) -> list[dict[str, Any]]:
    """Return system, dataset, reason, how many records and the last business day, most frequent first."""
    return _rows(connection, _RECORD_REASONS, asdict(asked))


def rejected_record(connection: psycopg.Connection, rejected_id: int) -> dict[str, Any] | None:
    """Return one rejected ERP record as it was kept, None if it is there no longer."""
    found = rejected_records(connection, RecordsAskedFor(ids=[rejected_id]))
    return found[0] if found else None


def _rows(connection: psycopg.Connection, query: str, terms: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, terms).fetchall()
