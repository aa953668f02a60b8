"""Good readings of several sensors as means over steps of time: what detectors are trained on, and what they score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import psycopg

from resources.databases.timescale.binary import POSTGRES_EPOCH_US, decode_array

# grouped in the database: a week at one reading per second would be millions of rows on the way
_STEPS = """
SELECT array_send(array_agg(place)), array_send(array_agg(step)), array_send(array_agg(mean))
FROM (
    SELECT k.place, date_bin(%(step)s, r.time, 'epoch') AS step, avg(r.calibrated_value) AS mean
    FROM unnest(%(keys)s::int4[], %(units)s::text[], %(places)s::int4[]) AS k (sensor_key, unit, place)
    JOIN scada.readings r ON r.sensor_key = k.sensor_key
    JOIN scada.origins o ON o.origin_key = r.origin_key AND o.calibrated_unit = k.unit AND o.site = %(site)s
    WHERE r.time >= %(since)s AND r.time < %(until)s AND r.status = 0 AND r.calibrated_value IS NOT NULL
    GROUP BY 1, 2
) steps
"""


@dataclass(frozen=True, slots=True)
class StepMeans:
    """Means as columns of one length, in no particular order."""

    place: npt.NDArray[np.int32]
    """Position of the sensor among those asked for."""
    time_us: npt.NDArray[np.int64]
    """Beginning of the step."""
    mean: npt.NDArray[np.float64]
    """Of the calibrated values with status good, in the unit asked for."""


def step_means(
    connection: psycopg.Connection,
    sensors: Mapping[str, str],
    *,
    site: str,
    since: datetime,
    until: datetime,
    step: timedelta,
) -> StepMeans:
    """Return the mean of each sensor in each step of `[since, until)` in which it has good readings.

    Args:
        connection: To the platform's database.
        sensors: Sensor -> its canonical unit; readings that were stored in another one are left out.
        site: The site.
        since: First instant.
        until: End.
        step: Length of a step; steps begin at multiples of it since 1970.
    """
    keys: dict[str, int] = dict(
        connection.execute(
            "SELECT sensor_id, sensor_key FROM scada.sensors WHERE sensor_id = ANY(%s)", (list(sensors),)
        ).fetchall()
    )
    known = [(keys[name], unit, place) for place, (name, unit) in enumerate(sensors.items()) if name in keys]
    terms = {
        "keys": [key for key, _, _ in known],
        "units": [unit for _, unit, _ in known],
        "places": [place for _, _, place in known],
        "site": site,
        "since": since,
        "until": until,
        "step": step,
    }
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(_STEPS, terms).fetchone()
    assert row is not None  # an aggregate always gives a row
    place, time_us, mean = (decode_array(sent, kind) for sent, kind in zip(row, ("i4", "i8", "f8"), strict=True))
    return StepMeans(place, time_us + POSTGRES_EPOCH_US, mean)


def first_reading(connection: psycopg.Connection, sensors: Mapping[str, str], *, since: datetime) -> datetime | None:
    """Return the time of the oldest stored reading of any of these sensors from an instant on; None without one."""
    row = connection.execute(
        "SELECT min(first.time) FROM scada.sensors s CROSS JOIN LATERAL ("
        "SELECT time FROM scada.readings r WHERE r.sensor_key = s.sensor_key AND r.time >= %s ORDER BY time LIMIT 1"
        ") first WHERE s.sensor_id = ANY(%s)",
        (since, list(sensors)),
    ).fetchone()
    found: datetime | None = row[0] if row else None
    return found
