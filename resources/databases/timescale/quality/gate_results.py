"""`quality.gate_results`: what every gate said about every partition, and who released a red one.

A blocking check stops only its own Dagster run. What holds an hour back across runs is a row here: the newest result of
a blocking check on a partition, if it is red and nobody has released it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

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
    released_by: str | None = None
    """Who has released this very finding; None: nobody has."""


@dataclass(frozen=True, slots=True)
class RecordedGate(GateResult):
    """A result as it is stored."""

    gate_id: int = 0
    checked_at: datetime | None = None
    released_at: datetime | None = None
    released_because: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What a gate measured of one partition, to be drawn over time."""

    partition: str
    passed: bool
    measured: float
    limit: float


_GIVEN = 'asset, partition, revision, "check", passed, blocking, metadata, run_id'
_COLUMNS = f"{_GIVEN}, gate_id, checked_at, released_by, released_at, released_because"
_NEWEST = f'SELECT DISTINCT ON (asset, partition, "check") {_COLUMNS} FROM quality.gate_results'

_RECORD = f"""
INSERT INTO quality.gate_results ({_GIVEN}, released_by, released_at, released_because)
SELECT n.*, old.released_by, old.released_at, old.released_because
FROM (VALUES (%(asset)s, %(partition)s, %(revision)s::int4, %(check)s, %(passed)s::bool, %(blocking)s::bool,
              %(metadata)s::jsonb, %(run_id)s)) n({_GIVEN})
LEFT JOIN LATERAL (
    SELECT * FROM quality.gate_results r
    WHERE r.asset = n.asset AND r.partition = n.partition AND r."check" = n."check" ORDER BY gate_id DESC LIMIT 1
) old ON NOT n.passed AND NOT old.passed AND old.revision = n.revision
    -- who judges anew what stands does not always say for which collector
    AND old.metadata - 'collector' = n.metadata - 'collector'
    AND (old.metadata ->> 'collector' = n.metadata ->> 'collector') IS NOT FALSE
-- what a run has found already it need not say twice
WHERE old.gate_id IS NULL OR old.released_at IS NOT NULL OR old.blocking <> n.blocking OR old.run_id <> n.run_id
RETURNING released_by
"""


def record_results(connection: psycopg.Connection, results: Iterable[GateResult]) -> list[GateResult]:
    """Add results and return them; the caller commits.

    A finding that a person has released stays released where a gate finds the very same again: of the same revision,
    with the same figures. One that the same run has recorded, and nobody has released since, is not added again.
    """
    found = list(results)
    if not found:
        return []
    terms = [
        {
            "asset": r.asset,
            "partition": r.partition,
            "revision": r.revision,
            "check": r.check,
            "passed": r.passed,
            "blocking": r.blocking,
            "metadata": Jsonb(r.metadata),
            "run_id": r.run_id,
        }
        for r in found
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_RECORD, terms, returning=True)
        released = [_one(done) for done in cursor.results()]
    return [replace(r, released_by=by) for r, by in zip(found, released, strict=True)]


def _one(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    return None if row is None else row[0]


def red_gates(connection: psycopg.Connection, asset: str, partitions: Sequence[str]) -> list[RecordedGate]:
    """Return the newest results on these partitions that are blocking, red and not released.

    The newest of a check counts, whether it blocks or not: a gate that was set to warn holds nothing back once it has
    judged again.
    """
    query = (
        f"SELECT * FROM ({_NEWEST} WHERE asset = %s AND partition = ANY(%s) "
        'ORDER BY asset, partition, "check", gate_id DESC) newest '
        "WHERE blocking AND NOT passed AND released_at IS NULL"
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


@dataclass(frozen=True, slots=True)
class Release:
    """Who lets go on what red gates hold back, and why."""

    by: str
    because: str


def release(
    connection: psycopg.Connection, *, asset: str, partition: str, said: Release, check: str | None = None
) -> list[RecordedGate]:
    """Release the red results on a partition (of one check, or all) and return them. The caller commits."""
    query = (
        "UPDATE quality.gate_results SET released_by = %(by)s, released_at = now(), released_because = %(because)s "
        "WHERE NOT passed AND released_at IS NULL AND gate_id IN ("
        '  SELECT DISTINCT ON ("check") gate_id FROM quality.gate_results '
        "  WHERE asset = %(asset)s AND partition = %(partition)s "
        '  AND (%(check)s::text IS NULL OR "check" = %(check)s) ORDER BY "check", gate_id DESC) '
        f"RETURNING {_COLUMNS}"
    )
    terms = {"by": said.by, "because": said.because, "asset": asset, "partition": partition, "check": check}
    with connection.cursor(row_factory=class_row(RecordedGate)) as cursor:
        return cursor.execute(query, terms).fetchall()


def history(
    connection: psycopg.Connection, *, asset: str, partition: str, check: str | None = None, limit: int = 100
) -> list[RecordedGate]:
    """Return every result there ever was on a partition, newest first, with its release."""
    query = (
        f"SELECT {_COLUMNS} FROM quality.gate_results WHERE asset = %(asset)s AND partition = %(partition)s "
        'AND (%(check)s::text IS NULL OR "check" = %(check)s) ORDER BY gate_id DESC LIMIT %(limit)s'
    )
    terms = {"asset": asset, "partition": partition, "check": check, "limit": limit}
    with connection.cursor(row_factory=class_row(RecordedGate)) as cursor:
        return cursor.execute(query, terms).fetchall()


def measured_until(
    connection: psycopg.Connection, asset: str, check: str, *, last: str, limit: int = 60
) -> list[Judged]:
    """Return what a check measured of the newest partitions up to `last`, oldest first."""
    query = (
        "SELECT DISTINCT ON (partition) partition, passed, (metadata ->> 'measured')::float8 AS measured, "
        "(metadata ->> 'limit')::float8 AS limit FROM quality.gate_results WHERE asset = %s AND \"check\" = %s "
        "AND partition <= %s AND metadata ? 'measured' AND metadata ? 'limit' "
        "ORDER BY partition DESC, gate_id DESC LIMIT %s"
    )
    with connection.cursor(row_factory=class_row(Judged)) as cursor:
        return cursor.execute(query, (asset, check, last, limit)).fetchall()[::-1]


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


def expected_sources(connection: psycopg.Connection, asset: str, partition: str, check: str) -> tuple[str, ...]:
    """Return the sources that a check expected of a partition when it last judged it; none if it has not."""
    row = connection.execute(
        "SELECT metadata -> 'expected' FROM quality.gate_results WHERE asset = %s AND partition = %s AND \"check\" = %s"
        " AND metadata ? 'expected' ORDER BY gate_id DESC LIMIT 1",
        (asset, partition, check),
    ).fetchone()
    return tuple(row[0]) if row and isinstance(row[0], list) else ()
