"""Reading hourly means and writing `process_heat.boiler_efficiency`. psycopg only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

HOURLY_COLUMNS = ("hour", "sensor_id", "mean_value", "unit", "good_share")
"""Columns of `read_hourly`."""


def read_hourly(connection: psycopg.Connection, hour: datetime, sensors: Sequence[str]) -> list[dict[str, Any]]:
    """Return the hour's rows of these sensors as HOURLY_COLUMNS, by sensor; a sensor without readings has none."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT hour, sensor_id, mean_value, unit, good_share FROM scada.hourly_readings "
            "WHERE hour = %s AND sensor_id = ANY(%s) ORDER BY sensor_id",
            (hour, list(sensors)),
        ).fetchall()


def replace_boiler_efficiency(
    connection: psycopg.Connection, hour: datetime, rows: Sequence[Mapping[str, Any]], *, site: str, run_id: str
) -> None:
    """Make the table hold exactly these rows for the hour; the caller commits."""
    connection.execute("DELETE FROM process_heat.boiler_efficiency WHERE site = %s AND hour = %s", (site, hour))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO process_heat.boiler_efficiency (boiler, hour, efficiency, steam_power_kw, fuel_power_kw, "
            "good_share, reason, site, run_id) VALUES (%(boiler)s, %(hour)s, %(efficiency)s, %(steam_power_kw)s, "
            "%(fuel_power_kw)s, %(good_share)s, %(reason)s, %(site)s, %(run_id)s)",
            [{**row, "site": site, "run_id": run_id} for row in rows],
        )


def read_boiler_efficiency(connection: psycopg.Connection, hour: datetime, *, site: str) -> list[dict[str, Any]]:
    """Return boiler, efficiency (share or None), steam_power_kw and fuel_power_kw of one hour, by boiler."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT boiler, efficiency, steam_power_kw, fuel_power_kw FROM process_heat.boiler_efficiency "
            "WHERE site = %s AND hour = %s ORDER BY boiler",
            (site, hour),
        ).fetchall()


def recent_efficiency(
    connection: psycopg.Connection, until: datetime, *, site: str, hours: int = 48
) -> list[dict[str, Any]]:
    """Return boiler, hour and efficiency of the hours before and including `until`, oldest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT boiler, hour, efficiency FROM process_heat.boiler_efficiency "
            "WHERE site = %s AND hour > %s - make_interval(hours => %s) AND hour <= %s ORDER BY hour, boiler",
            (site, until, hours, until),
        ).fetchall()
