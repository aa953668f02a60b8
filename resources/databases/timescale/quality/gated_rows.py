"""What the gates of tables read: a partition's rows, what is expected of it, and its score. psycopg only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]

_HOURLY = """
SELECT hour, sensor_id, readings, good_share, min_value, max_value, sum_value, mean_value, unit
FROM scada.hourly_readings WHERE site = %(site)s AND hour = %(hour)s ORDER BY sensor_id
"""
_HOUR_SOURCES = """
SELECT DISTINCT source FROM scada.window_sources
WHERE site = %(site)s AND window_start >= %(hour)s AND window_start < %(hour)s::timestamptz + interval '1 hour'
  AND rows > 0
"""
_HOUR_SCORE = """
SELECT sum(score * rows) / nullif(sum(rows), 0) FROM quality.partition_scores
WHERE site = %(site)s AND asset = 'scada/sensor_readings' AND source = ''
  AND partition >= to_char(%(hour)s::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI')
  AND partition < to_char(%(hour)s::timestamptz AT TIME ZONE 'UTC' + interval '1 hour', 'YYYY-MM-DD"T"HH24:MI')
"""
_BOILERS = """
SELECT boiler, hour, efficiency, steam_power_kw, fuel_power_kw, good_share, reason
FROM process_heat.boiler_efficiency WHERE site = %(site)s AND hour = %(hour)s ORDER BY boiler
"""
_INTENSITY = """
SELECT consumer, day, basis, energy_kwh, product_t, intensity_kwh_per_t, booked_energy_kwh, booked_product_t,
       measured_energy_kwh, measured_product_t, measured_hours, good_share, reason
FROM process_heat.energy_intensity WHERE site = %(site)s AND day = %(day)s::date ORDER BY consumer
"""
_COST = """
SELECT consumer, day, energy_type, basis, energy_kwh, price_per_kwh, cost, cost_per_t, currency, reason
FROM process_heat.energy_cost WHERE site = %(site)s AND day = %(day)s::date ORDER BY consumer, energy_type
"""
_NEWEST_HOUR = "SELECT max(hour) FROM quality.hour_ledger WHERE asset = %(asset)s"
_NEWEST_DAY = "SELECT max(day)::text FROM quality.day_ledger WHERE site = %(site)s AND asset = %(asset)s"
_AGENTS = """
SELECT agent_id, agent_type, status, last_heartbeat, performance_score, declared FROM agents.registry ORDER BY agent_id
"""
_NEWEST_COMMAND = """
SELECT message_id FROM agents.messages WHERE message_type IN ('command', 'query') ORDER BY sent_at DESC LIMIT 1
"""
_ANSWERS = """
SELECT message_id, correlation_id, agent_id, payload ->> 'status' AS status, received_at, latency_ms
FROM agents.responses WHERE correlation_id = %(message_id)s ORDER BY agent_id, received_at
"""
_DELIVERIES = "SELECT agent_id, state FROM agents.deliveries WHERE message_id = %(message_id)s ORDER BY agent_id"
_ANOMALIES = """
SELECT time, sensor_id, kind, value, expected, score, window_start, equipment, ended_at, model_version, found_by
FROM scada.anomalies WHERE site = %(site)s AND window_start = %(start)s ORDER BY time, sensor_id, kind
"""
_SCORED = """
SELECT equipment, rows, anomalous FROM scada.anomaly_ledger
WHERE site = %(site)s AND window_start = %(start)s ORDER BY equipment
"""
_MODELS = "SELECT DISTINCT equipment FROM scada.anomaly_models WHERE site = %(site)s"
_NEWEST_SCORED = "SELECT max(window_start) FROM scada.anomaly_ledger WHERE site = %(site)s"


def hourly_rows(connection: psycopg.Connection, hour: datetime, *, site: str) -> list[Row]:
    """Return the rows of `scada.hourly_readings` of an hour."""
    return _rows(connection, _HOURLY, {"site": site, "hour": hour})


def sources_of_hour(connection: psycopg.Connection, hour: datetime, *, site: str) -> set[str]:
    """Return the sources that have rows in the windows of an hour."""
    return {row["source"] for row in _rows(connection, _HOUR_SOURCES, {"site": site, "hour": hour})}


def score_of_hour(connection: psycopg.Connection, hour: datetime, *, site: str) -> float | None:
    """Return the mean score of an hour's windows by their rows; None where they have none."""
    found: float | None = _one(connection, _HOUR_SCORE, {"site": site, "hour": hour})
    return found


def boiler_rows(connection: psycopg.Connection, hour: datetime, *, site: str) -> list[Row]:
    """Return the rows of `process_heat.boiler_efficiency` of an hour."""
    return _rows(connection, _BOILERS, {"site": site, "hour": hour})


def intensity_rows(connection: psycopg.Connection, day: str, *, site: str) -> list[Row]:
    """Return the rows of `process_heat.energy_intensity` of a day."""
    return _rows(connection, _INTENSITY, {"site": site, "day": day})


def cost_rows(connection: psycopg.Connection, day: str, *, site: str) -> list[Row]:
    """Return the rows of `process_heat.energy_cost` of a day."""
    return _rows(connection, _COST, {"site": site, "day": day})


def newest_hour_of(connection: psycopg.Connection, asset: str) -> datetime | None:
    """Return the newest hour that an asset was made of."""
    found: datetime | None = _one(connection, _NEWEST_HOUR, {"asset": asset})
    return found


def newest_day_of(connection: psycopg.Connection, asset: str, *, site: str) -> str | None:
    """Return the newest day that an asset was made of, as its partition key."""
    found: str | None = _one(connection, _NEWEST_DAY, {"asset": asset, "site": site})
    return found


def agent_rows(connection: psycopg.Connection) -> list[Row]:
    """Return the rows of `agents.registry`."""
    return _rows(connection, _AGENTS, {})


def newest_command(connection: psycopg.Connection) -> str | None:
    """Return the message_id of the last command or query."""
    found: str | None = _one(connection, _NEWEST_COMMAND, {})
    return found


def answer_rows(connection: psycopg.Connection, message_id: str) -> list[Row]:
    """Return the answers to a command."""
    return _rows(connection, _ANSWERS, {"message_id": message_id})


def delivery_states(connection: psycopg.Connection, message_id: str) -> dict[str, str]:
    """Return agent -> state of a command's delivery."""
    rows = _rows(connection, _DELIVERIES, {"message_id": message_id})
    return {row["agent_id"]: row["state"] for row in rows}


def anomaly_rows(connection: psycopg.Connection, start: datetime, *, site: str) -> list[Row]:
    """Return the anomalies of a window."""
    return _rows(connection, _ANOMALIES, {"site": site, "start": start})


def scored_equipment(connection: psycopg.Connection, start: datetime, *, site: str) -> list[Row]:
    """Return equipment, rows and anomalous rows of what was scored of a window."""
    return _rows(connection, _SCORED, {"site": site, "start": start})


def equipment_with_models(connection: psycopg.Connection, *, site: str) -> set[str]:
    """Return the equipment that a model was trained for."""
    return {row["equipment"] for row in _rows(connection, _MODELS, {"site": site})}


def newest_scored(connection: psycopg.Connection, *, site: str) -> datetime | None:
    """Return the newest window that was looked at for anomalies."""
    found: datetime | None = _one(connection, _NEWEST_SCORED, {"site": site})
    return found


def _rows(connection: psycopg.Connection, query: str, terms: Mapping[str, Any]) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, terms).fetchall()


def _one(connection: psycopg.Connection, query: str, terms: Mapping[str, Any]) -> Any:
    row: Sequence[Any] | None = connection.execute(query, terms).fetchone()
    return row[0] if row else None
