"""`scada.anomalies` and `scada.anomaly_ledger`: what was found in each window, and of which state of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True)
class AnomalyRow:
    """One anomaly: a stretch of time in which an equipment, or one of its sensors, was not as in training."""

    equipment: str
    kind: str
    """multivariate, outlier or level_change."""
    time: datetime
    """Where it begins within its window."""
    sensor_id: str
    """The sensor it is of; of several together the one that contributes most."""
    value: float | None
    expected: float | None
    score: float
    """Distance from normal over the limit: 1 is the limit itself."""
    ended_at: datetime
    model_version: int
    details: Mapping[str, Any] = field(default_factory=dict)
    """What explains it."""
    found_by: str = "asset"
    """asset or collector."""
    window_start: datetime | None = None
    """Set by whoever stores it."""


@dataclass(frozen=True, slots=True)
class ScoredWindow:
    """That an equipment's rows of a window have been scored, and what came of it."""

    equipment: str
    revision: int
    """Of the window, over all collectors: see `window_revisions`."""
    model_version: int
    rows: int
    anomalous: int
    """Rows within multivariate anomalies."""


_INSERT = """
INSERT INTO scada.anomalies (site, window_start, equipment, kind, time, sensor_id, value, expected, score, ended_at,
                             model_version, details, found_by, run_id)
VALUES (%(site)s, %(window_start)s, %(equipment)s, %(kind)s, %(time)s, %(sensor_id)s, %(value)s, %(expected)s,
        %(score)s, %(ended_at)s, %(model_version)s, %(details)s, %(found_by)s, %(run_id)s)
ON CONFLICT (sensor_id, time, kind) DO UPDATE SET
    value = EXCLUDED.value, expected = EXCLUDED.expected, score = EXCLUDED.score, ended_at = EXCLUDED.ended_at,
    details = EXCLUDED.details, equipment = EXCLUDED.equipment, model_version = EXCLUDED.model_version,
    found_by = EXCLUDED.found_by, window_start = EXCLUDED.window_start, run_id = EXCLUDED.run_id, detected_at = now()
"""
_LISTED = (
    "equipment, kind, time, sensor_id, value, expected, score, ended_at, model_version, details, found_by, window_start"
)
_LIST = f"""
SELECT {_LISTED} FROM scada.anomalies
WHERE site = %(site)s AND (%(equipment)s::text IS NULL OR equipment = %(equipment)s)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(since)s::timestamptz IS NULL OR time >= %(since)s)
ORDER BY time DESC, equipment, kind, sensor_id LIMIT %(limit)s
"""


def lock_window(connection: psycopg.Connection, window_start: datetime, *, site: str) -> None:
    """Wait until no other transaction writes anomalies of this window; the lock ends with the transaction."""
    name = f"anomalies/{site}/{window_start.timestamp():.0f}"
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))


def replace_window(
    connection: psycopg.Connection,
    window_start: datetime,
    rows: Sequence[AnomalyRow],
    scored: Sequence[ScoredWindow],
    *,
    site: str,
    run_id: str,
) -> None:
    """Make the tables hold exactly these anomalies of the scored equipment in a window; the caller commits.

    What the collector found there meanwhile goes: the asset saw the whole window.
    """
    lock_window(connection, window_start, site=site)
    equipment = [found.equipment for found in scored]
    connection.execute(
        "DELETE FROM scada.anomalies WHERE site = %s AND window_start = %s AND equipment = ANY(%s)",
        (site, window_start, equipment),
    )
    _insert(connection, window_start, rows, site=site, run_id=run_id)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO scada.anomaly_ledger (site, window_start, equipment, revision, model_version, rows, "
            "anomalous, run_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (site, window_start, equipment) "
            "DO UPDATE SET revision = EXCLUDED.revision, model_version = EXCLUDED.model_version, "
            "rows = EXCLUDED.rows, anomalous = EXCLUDED.anomalous, run_id = EXCLUDED.run_id, scored_at = now()",
            [
                (site, window_start, s.equipment, s.revision, s.model_version, s.rows, s.anomalous, run_id)
                for s in scored
            ],
        )


def add_live(
    connection: psycopg.Connection, window_start: datetime, rows: Sequence[AnomalyRow], *, site: str, run_id: str
) -> int:
    """Write what the collector finds in a window, and return how much; a repeated anomaly is brought up to date.

    Where the asset has scored an equipment's window, it has seen more, and nothing is written. The caller commits.
    """
    lock_window(connection, window_start, site=site)
    scored = connection.execute(
        "SELECT equipment FROM scada.anomaly_ledger WHERE site = %s AND window_start = %s", (site, window_start)
    ).fetchall()
    done = {name for (name,) in scored}
    open_rows = [replace(row, found_by="collector") for row in rows if row.equipment not in done]
    _insert(connection, window_start, open_rows, site=site, run_id=run_id)
    return len(open_rows)


def list_anomalies(
    connection: psycopg.Connection,
    *,
    site: str,
    equipment: str | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    limit: int = 100,
) -> list[AnomalyRow]:
    """Return anomalies, newest first.

    Args:
        connection: To the platform's database.
        site: The site.
        equipment: Only of this one.
        kind: Only of this kind.
        since: Only from this instant on.
        limit: At most so many.
    """
    terms = {"site": site, "equipment": equipment, "kind": kind, "since": since, "limit": limit}
    with connection.cursor(row_factory=class_row(AnomalyRow)) as cursor:
        return cursor.execute(_LIST, terms).fetchall()


def window_revisions(
    connection: psycopg.Connection, *, site: str, since: datetime, until: datetime | None = None
) -> dict[datetime, int]:
    """Return start -> revision, over all collectors, of the stored windows from an instant on; it only grows."""
    rows = connection.execute(
        "SELECT window_start, sum(stored_revision + recalibrated)::bigint FROM scada.window_ledger"
        " WHERE site = %(site)s AND window_start >= %(since)s"
        " AND (%(until)s::timestamptz IS NULL OR window_start < %(until)s) GROUP BY 1",
        {"site": site, "since": since, "until": until},
    )
    return dict(rows.fetchall())


def due_windows(
    connection: psycopg.Connection, equipment: Collection[str], *, site: str, since: datetime
) -> dict[datetime, int]:
    """Return start -> revision of the stored windows, from an instant on, that were not scored in their present state.

    A window counts as scored if any of this equipment was: one that gets its model later does not open old windows.
    """
    stored = window_revisions(connection, site=site, since=since)
    rows = connection.execute(
        "SELECT window_start, max(revision) FROM scada.anomaly_ledger "
        "WHERE site = %s AND window_start >= %s AND equipment = ANY(%s) GROUP BY 1",
        (site, since, list(equipment)),
    )
    scored: dict[datetime, int] = dict(rows.fetchall())
    return {start: revision for start, revision in stored.items() if scored.get(start) != revision}


def recent_shares(
    connection: psycopg.Connection, *, site: str, since: datetime, until: datetime
) -> dict[str, tuple[int, int]]:
    """Return equipment -> rows scored, and rows within anomalies, over the windows that begin in `[since, until)`."""
    rows = connection.execute(
        "SELECT equipment, sum(rows)::bigint, sum(anomalous)::bigint FROM scada.anomaly_ledger "
        "WHERE site = %s AND window_start >= %s AND window_start < %s GROUP BY 1 ORDER BY 1",
        (site, since, until),
    )
    return {equipment: (scored, anomalous) for equipment, scored, anomalous in rows.fetchall()}


def _insert(
    connection: psycopg.Connection, window_start: datetime, rows: Sequence[AnomalyRow], *, site: str, run_id: str
) -> None:
    terms = [
        {
            **{name: getattr(row, name) for name in AnomalyRow.__slots__},
            "details": Jsonb(dict(row.details)),
            "site": site,
            "window_start": window_start,
            "run_id": run_id,
        }
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, terms)
