"""What stands in the tables of one window, counted by source and by all that a reading's score depends on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

_COUNTS = """
SELECT l.collector, s.source, s.rows, s.rejected, s.deduplicated
FROM scada.window_ledger l LEFT JOIN scada.window_sources s USING (site, collector, window_start)
WHERE l.window_start = %(start)s AND l.site = %(site)s
"""
_CODES = """
SELECT o.source, r.status, r.defects, r.n FROM (
    SELECT origin_key, status, defects, count(*) AS n FROM scada.readings
    WHERE time >= %(start)s AND time < %(end)s GROUP BY 1, 2, 3
) r JOIN scada.origins o USING (origin_key) WHERE o.site = %(site)s
"""
_REVISION = """
SELECT coalesce(sum(stored_revision), 0)::int4, bool_or(partial) FROM scada.window_ledger
WHERE window_start = %(start)s AND site = %(site)s
"""


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What one collector has stored of one source in a window."""

    collector: str
    source: str
    rows: int
    rejected: int
    deduplicated: int


@dataclass(frozen=True, slots=True)
class CodeCount:
    """So many stored readings of a source have this status and these defects."""

    source: str
    status: int
    defects: int
    readings: int


def source_counts(connection: psycopg.Connection, site: str, start: datetime) -> list[SourceCounts]:
    """Return what stands of a window by collector and source; a collector without rows has one of no source."""
    found = connection.execute(_COUNTS, {"site": site, "start": start})
    return [SourceCounts(c, source or "", rows or 0, rejected or 0, d or 0) for c, source, rows, rejected, d in found]


def code_counts(connection: psycopg.Connection, site: str, start: datetime, end: datetime) -> list[CodeCount]:
    """Return how many of the readings stored in `[start, end)` have which status and defects, by source."""
    return [CodeCount(*row) for row in connection.execute(_CODES, {"site": site, "start": start, "end": end})]


def whole_revision(connection: psycopg.Connection, site: str, start: datetime) -> tuple[int, bool]:
    """Return the sum of a window's stored revisions over all collectors, and whether any part of it is partial."""
    row = connection.execute(_REVISION, {"site": site, "start": start}).fetchone()
    assert row is not None  # an aggregate always returns a row
    return int(row[0]), bool(row[1])
