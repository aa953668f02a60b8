"""Energy as booked and as measured, and writing process_heat.energy_intensity and energy_cost. psycopg only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]

_BOOKED = """
SELECT location_code, energy_type, sum(consumption_value)::float8 AS consumption_value, consumption_unit
FROM erp.energy_consumption
WHERE transaction_date = %(day)s AND location_code = ANY(%(locations)s) GROUP BY 1, 2, 4 ORDER BY 1, 2, 4
"""
# An order lasts days, not months: those that are landed long before cannot reach into the day.
_ORDERS = """
SELECT work_center, quantity::float8 AS quantity, unit, began, ended
FROM (
    SELECT work_center, quantity, unit, status,
           coalesce(actual_start, planned_start) AS began, coalesce(actual_end, planned_end) AS ended
    FROM erp.production_schedule
    WHERE business_date BETWEEN %(day)s::date - 31 AND %(day)s::date + 1 AND work_center = ANY(%(centers)s)
) o
WHERE quantity IS NOT NULL AND unit IS NOT NULL AND began < %(end)s AND ended > %(start)s ORDER BY began, work_center
"""
_HOURS = """
SELECT hour, sensor_id, mean_value, unit, good_share FROM scada.hourly_readings
WHERE site = %(site)s AND hour >= %(start)s AND hour < %(end)s AND sensor_id = ANY(%(sensors)s) ORDER BY hour, sensor_id
"""
# An order's tonnes are shared out over the days it overlaps, those that _ORDERS finds it in. By plan and by fact: what
# ended early still has a share in the days it was planned for.
_STATES = """
SELECT day, max(at) AS sources_at FROM (
    SELECT transaction_date AS day, ingested_at AS at FROM erp.energy_consumption
    WHERE transaction_date >= %(since)s AND location_code = ANY(%(locations)s)
    UNION ALL
    SELECT business_date, ingested_at FROM erp.production_schedule
    WHERE business_date >= %(since)s AND work_center = ANY(%(centers)s)
    UNION ALL
    SELECT first + later, ingested_at FROM (
        SELECT ingested_at,
            greatest((least(planned_start, actual_start) AT TIME ZONE %(zone)s)::date, business_date - 1) AS first,
            least(((greatest(planned_end, actual_end) - interval '1 microsecond') AT TIME ZONE %(zone)s)::date,
                  business_date + 31) AS last
        FROM erp.production_schedule
        WHERE business_date >= %(since)s::date - 31 AND work_center = ANY(%(centers)s)
    ) o CROSS JOIN LATERAL generate_series(0, last - first) later
    WHERE first + later >= %(since)s::date
    UNION ALL
    SELECT (hour AT TIME ZONE %(zone)s)::date, stored_at FROM quality.hour_ledger
    WHERE asset = 'scada/hourly_readings' AND hour >= %(since)s::date - 1
) known GROUP BY day
"""
_DUE = f"""
SELECT s.day, s.sources_at FROM ({_STATES}) s
WHERE s.day BETWEEN %(since)s AND %(until)s AND EXISTS (
    SELECT FROM unnest(%(assets)s::text[]) a LEFT JOIN quality.day_ledger l
        ON l.site = %(site)s AND l.asset = a AND l.day = s.day
    WHERE l.sources_at IS DISTINCT FROM s.sources_at)
ORDER BY s.day
"""
_RECORD = """
INSERT INTO quality.day_ledger (site, asset, day, sources_at, rows, run_id)
VALUES (%(site)s, %(asset)s, %(day)s, %(sources_at)s, %(rows)s, %(run_id)s)
ON CONFLICT (site, asset, day) DO UPDATE SET sources_at = EXCLUDED.sources_at, rows = EXCLUDED.rows,
    run_id = EXCLUDED.run_id, stored_at = now()
"""
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "energy_intensity": (
        "consumer",
        "basis",
        "energy_kwh",
        "product_t",
        "intensity_kwh_per_t",
        "booked_energy_kwh",
        "booked_product_t",
        "measured_energy_kwh",
        "measured_product_t",
        "measured_hours",
        "good_share",
        "reason",
    ),
    "energy_cost": (
        "consumer",
        "energy_type",
        "basis",
        "energy_kwh",
        "price_per_kwh",
        "cost",
        "cost_per_t",
        "currency",
        "reason",
    ),
}
"""Table -> the columns that an asset gives."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the energy of a site is booked, and what its day is."""

    site: str
    locations: Sequence[str]
    centers: Sequence[str]
    zone: str

    @property
    def terms(self) -> dict[str, Any]:
        """What queries name them by."""
        return {
            "site": self.site,
            "locations": list(self.locations),
            "centers": list(self.centers),
            "zone": self.zone,
        }


def read_booked(connection: psycopg.Connection, places: Places, day: date) -> list[Row]:
    """Return what is booked of a day, added up by location, type of energy and unit."""
    return _rows(connection, _BOOKED, {**places.terms, "day": day})


def read_orders(
    connection: psycopg.Connection, places: Places, day: date, span: tuple[datetime, datetime]
) -> list[Row]:
    """Return the production orders that overlap a day; by their actual times where they have them."""
    return _rows(connection, _ORDERS, {**places.terms, "day": day, "start": span[0], "end": span[1]})


def read_hours(
    connection: psycopg.Connection, places: Places, span: tuple[datetime, datetime], sensors: Sequence[str]
) -> list[Row]:
    """Return the hourly means of sensors within a day, by hour and sensor."""
    return _rows(connection, _HOURS, {**places.terms, "start": span[0], "end": span[1], "sensors": list(sensors)})


def sources_at(connection: psycopg.Connection, places: Places, day: date) -> datetime | None:
    """Return when what a day is made from was last stored; None: there is nothing."""
    row = connection.execute(
        f"SELECT sources_at FROM ({_STATES}) s WHERE day = %(since)s", {**places.terms, "since": day}
    ).fetchone()
    return row[0] if row else None


def due_days(
    connection: psycopg.Connection, places: Places, assets: Sequence[str], *, since: date, until: date
) -> dict[date, datetime]:
    """Return day -> when its sources were last stored, of the days that an asset was not made from in that state."""
    terms = {**places.terms, "assets": list(assets), "since": since, "until": until}
    return dict(connection.execute(_DUE, terms).fetchall())


def made_from(connection: psycopg.Connection, asset: str, day: date, *, site: str) -> datetime | None:
    """Return the state of its sources that a day was made from; None: it was not made."""
    query = "SELECT sources_at FROM quality.day_ledger WHERE site = %s AND asset = %s AND day = %s"
    row = connection.execute(query, (site, asset, day)).fetchone()
    return row[0] if row else None


def replace_day(
    connection: psycopg.Connection, table: str, day: date, rows: Sequence[Mapping[str, Any]], *, of: tuple[str, str]
) -> None:
    """Make `process_heat.<table>` hold exactly these rows for a day; `of`: site and run id. The caller commits."""
    site, run_id = of
    columns = _COLUMNS[table]
    connection.execute(f"DELETE FROM process_heat.{table} WHERE site = %s AND day = %s", (site, day))
    names = ", ".join(columns)
    values = ", ".join(f"%({name})s" for name in columns)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO process_heat.{table} ({names}, site, day, run_id) "
            f"VALUES ({values}, %(site)s, %(day)s, %(run_id)s)",
            [{**row, "site": site, "day": day, "run_id": run_id} for row in rows],
        )


def record_day(
    connection: psycopg.Connection, asset: str, day: date, state: tuple[datetime, int], *, of: tuple[str, str]
) -> None:
    """Note the state of its sources that a day was made from, and how many rows it has. The caller commits."""
    terms = {"asset": asset, "day": day, "sources_at": state[0], "rows": state[1], "site": of[0], "run_id": of[1]}
    connection.execute(_RECORD, terms)


def recent_intensity(connection: psycopg.Connection, until: date, *, site: str, days: int = 30) -> list[Row]:
    """Return consumer, day and intensity of the days before and including `until`, oldest first."""
    return _rows(
        connection,
        "SELECT consumer, day, intensity_kwh_per_t FROM process_heat.energy_intensity "
        "WHERE site = %(site)s AND day > %(until)s::date - %(days)s::int AND day <= %(until)s ORDER BY day, consumer",
        {"site": site, "until": until, "days": days},
    )


def recent_cost(connection: psycopg.Connection, until: date, *, site: str, days: int = 30) -> list[Row]:
    """Return consumer, day and cost of the days before and including `until`, oldest first."""
    return _rows(
        connection,
        "SELECT consumer, day, sum(cost) AS cost, min(currency) AS currency FROM process_heat.energy_cost "
        "WHERE site = %(site)s AND day > %(until)s::date - %(days)s::int AND day <= %(until)s "
        "GROUP BY 1, 2 ORDER BY 2, 1",
        {"site": site, "until": until, "days": days},
    )


def _rows(connection: psycopg.Connection, query: str, terms: Mapping[str, Any]) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, terms).fetchall()
