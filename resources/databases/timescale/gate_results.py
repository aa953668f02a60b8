"""`quality.gate_results`: what every gate said about every partition, and who released a red one.

A blocking check stops only its own Dagster run. What holds an hour back across runs is a row here: the newest result of
a blocking check on a partition, if it is red and nobody has released it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from resources.core.origins import history_of

GAPS_GATE = "every_gap_is_filled"
"""Check that is red while a source was not collected for some of a window and no history has filled that."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate said about one revision of one partition."""

    asset: str
    """Asset key as a path, `scada/sensor_readings`."""
    partition: str
    revision: int
    check: str
    passed: bool
    blocking: bool
    metadata: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class RecordedGate(GateResult):
    """A result as it is stored."""

    gate_id: int = 0
    checked_at: datetime | None = None
    released_by: str | None = None
    released_at: datetime | None = None


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
class StoredWindowFacts:
    """What is stored of one window, counted in the database: the ground the gates judge on."""

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
    gaps: tuple[UnfilledGap, ...] = ()


_GIVEN = 'asset, partition, revision, "check", passed, blocking, metadata, run_id'
_COLUMNS = f"{_GIVEN}, gate_id, checked_at, released_by, released_at"
_NEWEST = f'SELECT DISTINCT ON (asset, partition, "check") {_COLUMNS} FROM quality.gate_results'

_FACTS = """
SELECT count(*),
       count(*) FILTER (WHERE status = 'good'),
       count(*) FILTER (WHERE value IS NULL AND status <> 'bad'),
       count(*) FILTER (WHERE value IN ('NaN', 'Infinity', '-Infinity')),
       count(*) FILTER (WHERE quality_score IS NULL OR quality_score NOT BETWEEN 0 AND 100),
       count(*) FILTER (WHERE sensor_id IS NULL OR source IS NULL OR unit IS NULL),
       count(*) FILTER (WHERE value IS NOT NULL AND calibrated_value IS NULL)
FROM scada.sensor_readings
WHERE time >= %(start)s AND time < %(end)s
"""
_LEDGER = """
SELECT max(stored_revision) FILTER (WHERE collector = %(collector)s), sum(rows)::int8, sum(rejected)::int8,
       sum(deduplicated)::int8, bool_or(partial) FILTER (WHERE collector = %(collector)s),
       (sum(rows) FILTER (WHERE collector = %(history)s))::int8
FROM scada.window_ledger
WHERE site = %(site)s AND collector IN (%(collector)s, %(history)s) AND window_start = %(start)s
"""
_SOURCES = """
SELECT DISTINCT source FROM scada.window_sources
WHERE site = %(site)s AND collector IN (%(collector)s, %(history)s) AND window_start = %(start)s AND rows + rejected > 0
ORDER BY source
"""
_UNFILLED = """
SELECT source, greatest("from", %(start)s), least("to", %(end)s), reason, last_error, without_history FROM scada.gaps
WHERE site = %(site)s AND collector = %(collector)s AND "from" < %(end)s
  AND coalesce("to", 'infinity') > greatest("from", %(start)s)
  AND (filled_at IS NULL AND coalesce(filled_to, "from") < least("to", %(end)s) OR cardinality(without_history) > 0)
ORDER BY "from", source
"""
_SENTENCES = (
    "a value is missing only where the status is bad",
    "a value is a finite number",
    "quality_score lies between 0 and 100",
    "sensor, source and unit are known",
    "a reading with a value has a calibrated value",
)
"""What the counts of _FACTS after the second one stand for."""


def record_results(connection: psycopg.Connection, results: Iterable[GateResult]) -> None:
    """Add results; the caller commits."""
    rows = [
        (r.asset, r.partition, r.revision, r.check, r.passed, r.blocking, Jsonb(r.metadata), r.run_id) for r in results
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO quality.gate_results ({_GIVEN}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            rows,
        )


def red_gates(connection: psycopg.Connection, asset: str, partitions: Sequence[str]) -> list[RecordedGate]:
    """Return the newest blocking results on these partitions that are red and not released."""
    query = (
        f"SELECT * FROM ({_NEWEST} WHERE asset = %s AND partition = ANY(%s) AND blocking "
        'ORDER BY asset, partition, "check", gate_id DESC) newest WHERE NOT passed AND released_at IS NULL'
    )
    with connection.cursor(row_factory=class_row(RecordedGate)) as cursor:
        return cursor.execute(query, (asset, list(partitions))).fetchall()


def list_results(
    connection: psycopg.Connection,
    *,
    red_only: bool,
    asset: str | None = None,
    partition: str | None = None,
    limit: int = 100,
) -> list[RecordedGate]:
    """Return the newest result of each check on each partition, newest first; `red_only`: failed and not released."""
    query = (
        f"SELECT * FROM ({_NEWEST} WHERE (%(asset)s::text IS NULL OR asset = %(asset)s) "
        "AND (%(partition)s::text IS NULL OR partition = %(partition)s) "
        'ORDER BY asset, partition, "check", gate_id DESC) newest '
        "WHERE NOT (%(red)s AND (passed OR released_at IS NOT NULL)) ORDER BY gate_id DESC LIMIT %(limit)s"
    )
    terms = {"asset": asset, "partition": partition, "red": red_only, "limit": limit}
    with connection.cursor(row_factory=class_row(RecordedGate)) as cursor:
        return cursor.execute(query, terms).fetchall()


def release(
    connection: psycopg.Connection, *, asset: str, partition: str, by: str, check: str | None = None
) -> list[RecordedGate]:
    """Release the red results on a partition (of one check, or all) in `by`'s name; return them. The caller commits."""
    query = (
        "UPDATE quality.gate_results SET released_by = %(by)s, released_at = now() "
        "WHERE asset = %(asset)s AND partition = %(partition)s AND NOT passed AND released_at IS NULL "
        f'AND (%(check)s::text IS NULL OR "check" = %(check)s) RETURNING {_COLUMNS}'
    )
    terms = {"by": by, "asset": asset, "partition": partition, "check": check}
    with connection.cursor(row_factory=class_row(RecordedGate)) as cursor:
        return cursor.execute(query, terms).fetchall()


def recover(connection: psycopg.Connection, result: GateResult) -> None:
    """Add a passed result to a check that stands red on this partition; else do nothing. The caller commits."""
    if any(
        red.check == result.check
        for red in list_results(connection, red_only=True, asset=result.asset, partition=result.partition)
    ):
        record_results(connection, [result])


def unchecked_windows(
    connection: psycopg.Connection, asset: str, *, site: str, collector: str, since: datetime
) -> list[datetime]:
    """Return the stored windows from `since` on whose stored revision no gate has judged: their run died in between."""
    query = """
        SELECT l.window_start FROM scada.window_ledger l
        WHERE l.site = %s AND l.collector = %s AND l.window_start >= %s AND NOT EXISTS (
            SELECT FROM quality.gate_results g
            WHERE g.asset = %s AND g.revision >= l.stored_revision AND g.metadata ->> 'collector' = l.collector
              AND g.partition = to_char(l.window_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI'))
        ORDER BY l.window_start
    """
    return [row[0] for row in connection.execute(query, (site, collector, since, asset))]


def window_facts(
    connection: psycopg.Connection, *, site: str, collector: str, window_start: datetime, length: timedelta
) -> StoredWindowFacts:
    """Return what is stored of a window, by its collector and from history, and its gaps.

    The revision is 0 where the collector has stored nothing.
    """
    span = {"start": window_start, "end": window_start + length}
    terms = {**span, "site": site, "collector": collector, "history": history_of(collector)}
    gaps = connection.execute(_UNFILLED, terms).fetchall()
    ledger, counts = connection.execute(_LEDGER, terms).fetchone(), connection.execute(_FACTS, span).fetchone()
    assert ledger is not None  # an aggregate always returns a row
    assert counts is not None
    sources = connection.execute(_SOURCES, terms)
    faults = {sentence: broken for sentence, broken in zip(_SENTENCES, counts[2:], strict=True) if broken}
    revision, rows, rejected, deduplicated, partial, from_history = ledger
    return StoredWindowFacts(
        revision=revision or 0,
        rows=rows or 0,
        rejected=rejected or 0,
        deduplicated=deduplicated or 0,
        partial=bool(partial),
        readings=counts[0],
        good=counts[1],
        faults=faults,
        sources=tuple(row[0] for row in sources),
        from_history=from_history or 0,
        gaps=tuple(UnfilledGap(*row) for row in gaps),
    )


def expected_sources(connection: psycopg.Connection, asset: str, partition: str, check: str) -> tuple[str, ...]:
    """Return the sources that a check expected of a partition when it last judged it; none if it has not."""
    row = connection.execute(
        "SELECT metadata -> 'expected' FROM quality.gate_results WHERE asset = %s AND partition = %s AND \"check\" = %s"
        " AND metadata ? 'expected' ORDER BY gate_id DESC LIMIT 1",
        (asset, partition, check),
    ).fetchone()
    return tuple(row[0]) if row and isinstance(row[0], list) else ()
