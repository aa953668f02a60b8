"""Which state of an hour an asset was made from: `quality.hour_ledger` against `scada.window_ledger`.

The revision of an hour is the sum of the stored revisions of its windows, over all collectors: it grows with every
window that is stored, with every late revision, and when stored rows are calibrated anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

_STATES = """
SELECT date_trunc('hour', window_start, 'UTC') AS hour, sum(stored_revision + recalibrated)::bigint AS revision,
       jsonb_object_agg(collector || ' ' || extract(epoch FROM window_start)::bigint, stored_revision) AS windows
FROM scada.window_ledger WHERE site = %(site)s GROUP BY 1
"""
_DUE = f"""
SELECT s.hour, s.revision, s.windows FROM ({_STATES}) s
LEFT JOIN (
    SELECT hour, min(revision) AS revision FROM quality.hour_ledger WHERE asset = ANY(%(assets)s)
    GROUP BY hour HAVING count(*) = %(count)s
) made USING (hour)
WHERE s.revision IS DISTINCT FROM made.revision ORDER BY s.hour
"""


@dataclass(frozen=True, slots=True)
class HourState:
    """What the ledger knows of an hour's windows."""

    hour: datetime
    revision: int
    stored: dict[tuple[str, datetime], int]
    """(collector, window start) -> stored revision."""

    @property
    def windows(self) -> set[datetime]:
        """Starts of the windows of which anything is stored."""
        return {start for _, start in self.stored}


def due_hours(connection: psycopg.Connection, assets: Sequence[str], *, site: str) -> list[HourState]:
    """Return the hours, oldest first, that one of these assets has not been made from in their present state."""
    rows = connection.execute(_DUE, {"site": site, "assets": list(assets), "count": len(assets)})
    return [HourState(hour, revision, _windows(windows)) for hour, revision, windows in rows]


def hour_revision(connection: psycopg.Connection, hour: datetime, *, site: str) -> int:
    """Return the present revision of an hour, 0 if nothing of it is stored."""
    query = (
        "SELECT coalesce(sum(stored_revision + recalibrated), 0)::bigint FROM scada.window_ledger "
        "WHERE site = %s AND window_start >= %s AND window_start < %s::timestamptz + interval '1 hour'"
    )
    row = connection.execute(query, (site, hour, hour)).fetchone()
    return int(row[0]) if row else 0


def _windows(stored: dict[str, int]) -> dict[tuple[str, datetime], int]:
    found = {}
    for name, revision in stored.items():
        collector, _, epoch = name.rpartition(" ")
        found[collector, datetime.fromtimestamp(int(epoch), UTC)] = revision
    return found


def recorded_revision(connection: psycopg.Connection, asset: str, hour: datetime) -> int:
    """Return the revision an asset's hour has been made from, 0 if it has not."""
    query = "SELECT revision FROM quality.hour_ledger WHERE asset = %s AND hour = %s"
    row = connection.execute(query, (asset, hour)).fetchone()
    return int(row[0]) if row else 0


def record_hour(
    connection: psycopg.Connection, asset: str, hour: datetime, *, revision: int, rows: int, run_id: str
) -> None:
    """Note that an asset's hour has been made from this revision, read before its rows; the caller commits."""
    connection.execute(
        "INSERT INTO quality.hour_ledger (asset, hour, revision, rows, run_id) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (asset, hour) DO UPDATE SET revision = EXCLUDED.revision, rows = EXCLUDED.rows, "
        "run_id = EXCLUDED.run_id, stored_at = now()",
        (asset, hour, revision, rows, run_id),
    )
