"""What stands in the tables, counted there: the figures that `gl demo` and `gl ingest` end with. psycopg only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import psycopg

from resources.databases.timescale.window_store.readings_table import Window


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """What one source has in the tables."""

    stored: int = 0
    """Rows of scada.sensor_readings and scada.text_readings."""
    duplicated: int = 0
    """Rows beyond one per (sensor_id, time)."""
    rejected: int = 0
    """Rows of scada.rejected_readings."""
    deduplicated: int = 0
    """Readings left out because the same was already there."""


_SPAN = "{0} >= coalesce(%(since)s::timestamptz, '-infinity') AND {0} < coalesce(%(until)s::timestamptz, 'infinity')"

_NUMBERS = f"""
SELECT o.source, sum(k.n)::int8, sum(k.n - k.times)::int8
FROM (SELECT sensor_key, origin_key, count(*) AS n, count(DISTINCT time) AS times FROM scada.readings
      WHERE {_SPAN.format("time")} GROUP BY sensor_key, origin_key) k
JOIN scada.origins o USING (origin_key)
WHERE o.site = %(site)s AND o.collector = %(collector)s GROUP BY o.source
"""
_TEXTS = f"""
SELECT source, count(*), count(*) - count(DISTINCT (sensor_id, time)) FROM scada.text_readings
WHERE {_SPAN.format("time")} AND site = %(site)s AND collector = %(collector)s GROUP BY source
"""
_REJECTED = f"""
SELECT source, count(*) FROM scada.rejected_readings
WHERE {_SPAN.format("window_start")} AND site = %(site)s AND collector = %(collector)s GROUP BY source
"""
_DEDUPLICATED = f"""
SELECT source, sum(deduplicated)::int8 FROM scada.window_sources
WHERE {_SPAN.format("window_start")} AND site = %(site)s AND collector = %(collector)s GROUP BY source
"""


def counts_by_source(
    connection: psycopg.Connection,
    *,
    site: str,
    collector: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, StoredCounts]:
    """Return source -> what a collector has in the tables, of the windows in `[since, until)` (None: without limit).

    Rows are counted in the tables themselves, not taken from the ledger: what this says is stored can be read.
    """
    terms = {"site": site, "collector": collector, "since": since, "until": until}
    stored: Counter[str] = Counter()
    duplicated: Counter[str] = Counter()
    for statement in (_NUMBERS, _TEXTS):
        for source, rows, beyond in connection.execute(statement, terms):
            stored[source] += rows
            duplicated[source] += beyond
    rejected: dict[str, int] = dict(connection.execute(_REJECTED, terms).fetchall())
    deduplicated: dict[str, int] = dict(connection.execute(_DEDUPLICATED, terms).fetchall())
    return {
        source: StoredCounts(stored[source], duplicated[source], rejected.get(source, 0), deduplicated.get(source, 0))
        for source in sorted(stored.keys() | rejected.keys() | deduplicated.keys())
    }


def count_sources(connection: psycopg.Connection, window: Window) -> tuple[Counter[str], Counter[str]]:
    """Return source -> rows and source -> rejected rows of one collector's window, counted in the tables."""
    values = {"site": window.site, "collector": window.collector, "start": window.start, "end": window.end}
    rows: Counter[str] = Counter()
    numbers = (
        "SELECT o.source, sum(r.n)::int8 FROM (SELECT origin_key, count(*) AS n FROM scada.readings"
        " WHERE time >= %(start)s AND time < %(end)s GROUP BY origin_key) r JOIN scada.origins o USING (origin_key)"
        " WHERE o.site = %(site)s AND o.collector = %(collector)s GROUP BY o.source"
    )
    texts = (
        "SELECT source, count(*) FROM scada.text_readings WHERE time >= %(start)s AND time < %(end)s"
        " AND site = %(site)s AND collector = %(collector)s GROUP BY source"
    )
    rejected = (
        "SELECT source, count(*) FROM scada.rejected_readings WHERE window_start = %(start)s"
        " AND site = %(site)s AND collector = %(collector)s GROUP BY source"
    )
    for statement in (numbers, texts):
        rows.update(dict(connection.execute(statement, values).fetchall()))
    return rows, Counter(dict(connection.execute(rejected, values).fetchall()))
