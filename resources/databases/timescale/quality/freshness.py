"""How long what is known waits to be in each table: nothing where nothing waits. psycopg only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import psycopg

from resources.databases.timescale.derived.energy import Places, due_days

_LOOK_BACK = timedelta(days=35)
"""What has waited longer is left to backfills."""

_NEWEST_WINDOW = """
SELECT to_char(max(window_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI'), max(window_start) + %(length)s
FROM scada.window_ledger WHERE site = %(site)s
"""
_OLDEST_DUE_HOUR = """
SELECT to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI'), stored_at FROM (
    SELECT date_trunc('hour', window_start, 'UTC') AS hour, sum(stored_revision)::bigint AS revision,
           max(stored_at) AS stored_at
    FROM scada.window_ledger WHERE site = %(site)s AND window_start >= %(since)s GROUP BY 1
) s
WHERE s.hour + interval '1 hour' < %(now)s
  AND NOT EXISTS (SELECT FROM quality.hour_ledger m
                  WHERE m.asset = %(asset)s AND m.hour = s.hour AND m.revision = s.revision)
ORDER BY stored_at LIMIT 1
"""
_OLDEST_UNSCORED = """
SELECT to_char(l.window_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI'), max(l.stored_at)
FROM scada.window_ledger l
WHERE l.site = %(site)s AND l.window_start >= %(since)s
  AND l.window_start >= (SELECT min(trained_at) FROM scada.anomaly_models WHERE site = %(site)s)
  AND NOT EXISTS (SELECT FROM scada.anomaly_ledger a WHERE a.site = l.site AND a.window_start = l.window_start)
GROUP BY l.window_start ORDER BY 2 LIMIT 1
"""
_NEWEST_FORECAST = """
SELECT max(day)::text, max(made_at) FROM quality.score_forecasts WHERE site = %(site)s
"""
_LAST_HEARTBEAT = "SELECT agent_id, last_heartbeat FROM agents.registry ORDER BY last_heartbeat DESC NULLS LAST LIMIT 1"
_OLDEST_OPEN_COMMAND = """
SELECT m.message_id, m.deadline FROM agents.deliveries d JOIN agents.messages m USING (message_id)
WHERE d.state IN ('queued', 'sent') AND m.deadline < %(now)s ORDER BY m.deadline LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What has waited longest, and since when."""

    what: str
    since: datetime


def newest_window_end(connection: psycopg.Connection, *, site: str, length: timedelta) -> Waiting | None:
    """Return the newest stored window and its end; None: no window was ever stored."""
    return _waiting(connection, _NEWEST_WINDOW, {"site": site, "length": length})


def oldest_due_hour(connection: psycopg.Connection, asset: str, *, site: str, now: datetime) -> Waiting | None:
    """Return the hour that has waited longest to be made, since its last window was stored; None: none waits."""
    return _waiting(connection, _OLDEST_DUE_HOUR, {"asset": asset, "site": site, "now": now, "since": now - _LOOK_BACK})


def oldest_due_day(connection: psycopg.Connection, asset: str, places: Places, *, today: date) -> Waiting | None:
    """Return the day that has waited longest to be made, since its sources were stored; None: none waits."""
    due = due_days(connection, places, [asset], since=today - _LOOK_BACK, until=today)
    day = min(due, key=lambda one: due[one], default=None)
    return None if day is None else Waiting(day.isoformat(), due[day])


def oldest_unscored_window(connection: psycopg.Connection, *, site: str, now: datetime) -> Waiting | None:
    """Return the window that has waited longest to be looked at for anomalies; None: none waits."""
    return _waiting(connection, _OLDEST_UNSCORED, {"site": site, "since": now - timedelta(days=2)})


def newest_forecast(connection: psycopg.Connection, *, site: str) -> Waiting | None:
    """Return the newest day that a score was forecast of, and when; None: none ever was."""
    return _waiting(connection, _NEWEST_FORECAST, {"site": site})


def last_heartbeat(connection: psycopg.Connection) -> Waiting | None:
    """Return the agent that was heard last, and when; None: none was ever heard."""
    return _waiting(connection, _LAST_HEARTBEAT, {})


def oldest_open_command(connection: psycopg.Connection, *, now: datetime) -> Waiting | None:
    """Return the command whose deadline has passed longest while a delivery is still open; None: there is none."""
    return _waiting(connection, _OLDEST_OPEN_COMMAND, {"now": now})


def _waiting(connection: psycopg.Connection, query: str, terms: dict[str, Any]) -> Waiting | None:
    row = connection.execute(query, terms).fetchone()
    return None if row is None or row[1] is None else Waiting(row[0], row[1])
