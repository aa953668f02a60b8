"""What is stored of one window, counted in the database: the ground that its gates judge on. psycopg and NumPy only.

The readings are read once, grouped by sensor: what is asked of all of them, of each sensor and of its limits follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.rows import dict_row

from resources.core.contradictions import CONTRADICTIONS
from resources.core.origins import names_of

FIRST_ROWS = 5
"""Most failing rows that are read out."""

_FAULTS: Mapping[str, str] = {
    "a value is missing only where the status is bad": "value IS NULL AND status <> 2",
    "a value is a finite number": "value IN ('NaN', 'Infinity', '-Infinity')",
    "quality_score lies between 0 and 100": "quality_score IS NULL OR quality_score NOT BETWEEN 0 AND 100",
    "a reading with a value has a calibrated value": "value IS NOT NULL AND calibrated_value IS NULL",
    "the status is good, uncertain or bad": "status NOT BETWEEN 0 AND 2",
}
"""Sentence of the schema -> what a row is that breaks it."""

_NAMED = "sensor, source and unit are known"
"""The sentence that the names of a group break, not its rows."""

_SENSORS = f"""
SELECT s.sensor_id, o.source, o.unit, g.*
FROM (
    SELECT sensor_key, origin_key, count(*) AS readings, count(*) FILTER (WHERE status = 0) AS good,
           min(value) AS lowest, max(value) AS highest, sum(quality_score)::float8 AS score,
           {", ".join(f"count(*) FILTER (WHERE {broken}) AS fault_{n}" for n, broken in enumerate(_FAULTS.values()))}
    FROM scada.readings WHERE time >= %(start)s AND time < %(end)s GROUP BY 1, 2
) g
LEFT JOIN scada.sensors s USING (sensor_key)
LEFT JOIN scada.origins o USING (origin_key)
WHERE o.site = %(site)s OR o.site IS NULL
ORDER BY s.sensor_id, g.origin_key
"""
_SHOWN = "time, sensor_id, value, unit, status, quality_score::float8 AS quality_score, source"
_FIRST_FAULTY = f"""
SELECT {_SHOWN} FROM (
    SELECT * FROM scada.readings
    WHERE time >= %(start)s AND time < %(end)s AND ({" OR ".join(f"({broken})" for broken in _FAULTS.values())})
    ORDER BY sensor_key, time LIMIT {FIRST_ROWS}
) r
JOIN scada.sensors s USING (sensor_key) LEFT JOIN scada.origins o USING (origin_key)
CROSS JOIN LATERAL (SELECT (ARRAY['good', 'uncertain', 'bad'])[r.status + 1] AS status) named
ORDER BY sensor_id, time
""".replace("status, quality_score", "named.status, quality_score", 1)
_OUTSIDE = f"""
SELECT {_SHOWN}, l.lowest AS minimum, l.highest AS maximum, count(*) OVER () AS failing
FROM unnest(%(sensors)s::text[], %(units)s::text[], %(minimum)s::float8[], %(maximum)s::float8[])
     AS l(id, in_unit, lowest, highest)
JOIN scada.sensor_readings r ON r.sensor_id = l.id AND r.unit = l.in_unit
WHERE r.site = %(site)s AND r.time >= %(start)s AND r.time < %(end)s
  AND (r.value < l.lowest OR r.value > l.highest)
ORDER BY r.sensor_id, r.time LIMIT {FIRST_ROWS}
"""
_CONTRADICTED = f"""
SELECT time, sensor_id, source, raw, count(*) OVER () AS failing FROM scada.rejected_readings
WHERE site = %(site)s AND collector = ANY(%(names)s) AND window_start = %(start)s
  AND reasons && %(reasons)s::text[] ORDER BY sensor_id, time, sequence LIMIT {FIRST_ROWS}
"""
_LEDGER = """
SELECT max(stored_revision) FILTER (WHERE collector = %(collector)s), sum(rows)::int8, sum(rejected)::int8,
       sum(deduplicated)::int8, bool_or(partial) FILTER (WHERE collector = %(collector)s),
       (sum(rows) FILTER (WHERE collector = %(history)s))::int8,
       (sum(rows) FILTER (WHERE collector = %(corrections)s))::int8
FROM scada.window_ledger
WHERE site = %(site)s AND collector = ANY(%(names)s) AND window_start = %(start)s
"""
_CORRECTED = """
SELECT count(*) FROM scada.rejected_readings r
WHERE site = %(site)s AND collector = ANY(%(names)s) AND window_start = %(start)s AND EXISTS (
    SELECT FROM quality.corrected_readings c
    WHERE c.window_start = r.window_start AND c.sequence = r.sequence AND c.collector = r.collector AND c.site = r.site
      AND c.outcome IN ('stored', 'standing'))
"""
_SOURCES = """
SELECT DISTINCT source FROM scada.window_sources
WHERE site = %(site)s AND collector = ANY(%(names)s) AND window_start = %(start)s AND rows + rejected > 0
ORDER BY source
"""
_UNFILLED = """
SELECT source, greatest("from", %(start)s), least("to", %(end)s), reason, last_error, without_history FROM scada.gaps
WHERE site = %(site)s AND collector = %(collector)s AND "from" < %(end)s
  AND coalesce("to", 'infinity') > greatest("from", %(start)s)
  AND (filled_at IS NULL AND coalesce(filled_to, "from") < least("to", %(end)s) OR cardinality(without_history) > 0)
ORDER BY "from", source
"""
_SCORE = """
SELECT score FROM quality.partition_scores
WHERE site = %(site)s AND asset = 'scada/sensor_readings' AND source = ''
  -- scored is what all collectors, history and corrections have brought, as `stored_quality.whole_revision` counts it
  AND revision = (SELECT sum(stored_revision) FROM scada.window_ledger
                  WHERE site = %(site)s AND window_start = %(start)s)
  AND partition = to_char(%(start)s::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI')
"""


@dataclass(frozen=True, slots=True)
class UnfilledGap:
    """A time inside a window in which a source was not collected, and that no history has filled."""

    source: str
    since: datetime
    until: datetime
    reason: str
    why_not: str | None
    """Why the last attempt to fill it failed; None: there is no history to fill it from, or it is yet to be asked."""
    without_history: list[str]
    """Filled but for these sensors, whose history cannot be read."""


@dataclass(frozen=True, slots=True)
class StoredSensors:
    """What is stored of each sensor in the window, as columns; a sensor that came in two ways has two entries."""

    sensor_ids: Sequence[str] = ()
    units: Sequence[str] = ()
    lowest: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """NaN: no value."""
    highest: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, slots=True)
class FailingRows:
    """How many rows fail, and the first of them."""

    count: int = 0
    first: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class StoredWindowFacts:
    """What is stored of one window, counted in the database."""

    revision: int
    rows: int
    rejected: int
    deduplicated: int
    partial: bool
    readings: int
    """Rows of scada.sensor_readings in the window, whoever sent them."""
    good: int
    faults: dict[str, int]
    """Sentence of the schema that is broken -> rows that break it; only those that are."""
    sources: tuple[str, ...]
    """Sources with at least one stored or rejected row."""
    from_history: int = 0
    """Of `rows` those that history has brought."""
    from_corrections: int = 0
    """Of `rows` those that stand corrected: each is a rejected row that was replayed."""
    corrected: int = 0
    """Of `rejected` those that have been corrected."""
    gaps: tuple[UnfilledGap, ...] = ()
    sensors: StoredSensors = field(default_factory=StoredSensors)
    first_faulty: Sequence[Mapping[str, Any]] = ()
    """The first rows that break the schema."""
    contradicted: FailingRows = field(default_factory=FailingRows)
    """Readings that a later one of the same sensor and time contradicts."""
    score: float | None = None
    """The partition's quality score, 0 to 100; the mean of its rows' where it has none; None: no row."""


@dataclass(frozen=True, slots=True)
class WindowPlace:
    """Which window of whom."""

    site: str
    collector: str
    window_start: datetime
    length: timedelta

    @property
    def terms(self) -> dict[str, Any]:
        """What queries name it by."""
        own, history, corrections = names_of(self.collector)
        return {
            "site": self.site,
            "collector": self.collector,
            "history": history,
            "corrections": corrections,
            "names": [own, history, corrections],
            "start": self.window_start,
            "end": self.window_start + self.length,
        }


def window_facts(
    connection: psycopg.Connection, *, site: str, collector: str, window_start: datetime, length: timedelta
) -> StoredWindowFacts:
    """Return what is stored of a window, by its collector, from history and by corrections, and its gaps.

    The revision is 0 where the collector has stored nothing.
    """
    terms = WindowPlace(site, collector, window_start, length).terms
    ledger = connection.execute(_LEDGER, terms).fetchone()
    assert ledger is not None  # an aggregate always returns a row
    revision, rows, rejected, deduplicated, partial, from_history, from_corrections = ledger
    stored = connection.execute(_SENSORS, terms).fetchall()
    counts = [sum(column) for column in zip(*(row[5:7] for row in stored), strict=True)] or [0, 0]
    faults = _faults(stored)
    told = {**terms, "reasons": list(CONTRADICTIONS)}
    contradicted = _rows(connection, _CONTRADICTED, told) if rejected else FailingRows()
    corrected = connection.execute(_CORRECTED, terms).fetchone() if rejected else None
    return StoredWindowFacts(
        revision=revision or 0,
        rows=rows or 0,
        rejected=rejected or 0,
        deduplicated=deduplicated or 0,
        partial=bool(partial),
        readings=counts[0],
        good=counts[1],
        faults=faults,
        sources=tuple(row[0] for row in connection.execute(_SOURCES, terms)),
        from_history=from_history or 0,
        from_corrections=from_corrections or 0,
        corrected=corrected[0] if corrected else 0,
        gaps=tuple(UnfilledGap(*row) for row in connection.execute(_UNFILLED, terms)),
        sensors=_sensors(stored),
        first_faulty=_rows(connection, _FIRST_FAULTY, terms).first if faults else (),
        contradicted=contradicted,
        score=_score(connection, terms, stored),
    )


def rows_outside(
    connection: psycopg.Connection, place: WindowPlace, limits: Mapping[tuple[str, str], tuple[float, float]]
) -> FailingRows:
    """Return the rows whose value lies outside limits: (sensor_id, unit) -> least and greatest value."""
    if not limits:
        return FailingRows()
    columns = {
        "sensors": [sensor for sensor, _ in limits],
        "units": [unit for _, unit in limits],
        "minimum": [low for low, _ in limits.values()],
        "maximum": [high for _, high in limits.values()],
    }
    return _rows(connection, _OUTSIDE, {**place.terms, **columns})


def _rows(connection: psycopg.Connection, query: str, terms: Mapping[str, Any]) -> FailingRows:
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(query, terms).fetchall()
    counts = [row.pop("failing", len(found)) for row in found]
    return FailingRows(counts[0] if counts else 0, [_plain(row) for row in found])


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as JSON can hold it: it has neither instants nor NaN nor infinity."""
    return {name: _plain_value(value) for name, value in row.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _faults(stored: Sequence[tuple[Any, ...]]) -> dict[str, int]:
    totals = [sum(column) for column in zip(*(row[10:] for row in stored), strict=True)] or [0] * len(_FAULTS)
    unnamed = sum(row[5] for row in stored if None in row[:3])
    named = zip((*_FAULTS, _NAMED), (*totals, unnamed), strict=True)
    return {sentence: broken for sentence, broken in named if broken}


def _sensors(stored: Sequence[tuple[Any, ...]]) -> StoredSensors:
    named = [row for row in stored if None not in row[:3]]
    return StoredSensors(
        [row[0] for row in named],
        [row[2] for row in named],
        np.array([row[7] for row in named], dtype=np.float64),
        np.array([row[8] for row in named], dtype=np.float64),
    )


def _score(connection: psycopg.Connection, terms: Mapping[str, Any], stored: Sequence[tuple[Any, ...]]) -> float | None:
    row = connection.execute(_SCORE, terms).fetchone()
    if row is not None:
        return float(row[0])
    readings = sum(row[5] for row in stored)
    return float(sum(row[9] or 0.0 for row in stored)) / readings if readings else None
