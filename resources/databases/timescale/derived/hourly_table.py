"""Reading one hour of scada.readings as columns, and writing scada.hourly_readings. psycopg and NumPy only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from resources.core.errors import ConfigError
from resources.core.physics.gas_volumes import ATMOSPHERE_KPA
from resources.core.physics.units import conversion
from resources.core.readings import STATUS_NAMES
from resources.databases.timescale.binary import POSTGRES_EPOCH_US, decode_array

MOST_ROWS = 2_000_000
"""Rows read at a time: an hour of a large plant does not fit into memory at once."""

COLUMNS = (
    "hour",
    "sensor_id",
    "readings",
    "good_share",
    "min_value",
    "max_value",
    "sum_value",
    "mean_value",
    "unit",
)
"""Columns that `replace_hour` writes, in order."""

_HOUR = timedelta(hours=1)
_COUNTS = """
SELECT r.sensor_key, s.sensor_id, count(*)
FROM (SELECT sensor_key, origin_key FROM scada.readings WHERE time >= %(start)s AND time < %(end)s) r
JOIN scada.origins o USING (origin_key) JOIN scada.sensors s USING (sensor_key)
WHERE o.site = %(site)s GROUP BY 1, 2 ORDER BY 2
"""
_READINGS = """
SELECT array_send(array_agg(sensor_key)), array_send(array_agg(time)), array_send(array_agg(coalesce(value, 'NaN'))),
       array_send(array_agg(coalesce(calibrated_value, 'NaN'))), array_send(array_agg(status)),
       array_send(array_agg(origin_key))
FROM scada.readings
WHERE time >= %(start)s AND time < %(end)s AND sensor_key = ANY(%(keys)s) AND origin_key = ANY(%(origins)s)
"""

_STANDING = "SELECT sensor_id, readings FROM scada.hourly_readings WHERE site = %(site)s AND hour = %(start)s"
# Merged rows never make a sensor's readings fewer. Storing a whole window anew may, by stricter limits; but then the
# ledger and the tables agree.
_LOST = """
SELECT NOT EXISTS (
    SELECT FROM scada.window_ledger l
    WHERE site = %(site)s AND window_start >= %(start)s AND window_start < %(end)s AND complete
      AND stored_at > (SELECT min(computed_at) FROM scada.hourly_readings WHERE site = %(site)s AND hour = %(start)s)
) OR (SELECT coalesce(sum(rows), 0) FROM scada.window_ledger
      WHERE site = %(site)s AND window_start >= %(start)s AND window_start < %(end)s)
   > (SELECT count(*) FROM scada.readings JOIN scada.origins USING (origin_key)
      WHERE site = %(site)s AND time >= %(start)s AND time < %(end)s)
   + (SELECT count(*) FROM scada.text_readings WHERE site = %(site)s AND time >= %(start)s AND time < %(end)s)
"""


@dataclass(frozen=True, slots=True)
class HourColumns:
    """Readings of some sensors in one hour, as columns of one length, in no particular order."""

    time_us: npt.NDArray[np.int64]
    sensor_id: npt.NDArray[Any]
    value: npt.NDArray[np.float64]
    """Calibrated, in the unit the sensor is read in; NaN: no value."""
    unit: npt.NDArray[Any]
    status: npt.NDArray[Any]


def read_hour(
    connection: psycopg.Connection, hour: datetime, *, site: str, atmosphere_kpa: float = ATMOSPHERE_KPA
) -> Iterator[HourColumns]:
    """Yield the hour's readings of a site, all readings of a sensor together, at most about MOST_ROWS at a time."""
    terms: dict[str, Any] = {"start": hour, "end": hour + _HOUR, "site": site}
    sensors = connection.execute(_COUNTS, terms).fetchall()
    ways = connection.execute(
        "SELECT origin_key, unit, calibrated_unit FROM scada.origins WHERE site = %(site)s", terms
    ).fetchall()
    units: dict[int, str] = {key: unit for key, unit, _ in ways}
    factors = {key: _terms(unit, calibrated, atmosphere_kpa) for key, unit, calibrated in ways}
    for part in _parts(sensors):
        names = {key: name for key, name, _ in part}
        with connection.cursor(binary=True) as cursor:
            cursor.execute(_READINGS, {**terms, "keys": list(names), "origins": list(units)})
            row = cursor.fetchone()
        assert row is not None  # an aggregate always returns a row
        keys, times, values, calibrated, statuses, origins = (
            decode_array(sent, kind) for sent, kind in zip(row, ("i4", "i8", "f8", "f8", "i2", "i4"), strict=True)
        )
        yield HourColumns(
            times + POSTGRES_EPOCH_US,
            _named(keys, names),
            _in_own_unit(values, calibrated, origins, factors),
            _named(origins, units),
            np.asarray(STATUS_NAMES, dtype=object)[statuses],
        )


def rows_to_keep(
    connection: psycopg.Connection, hour: datetime, readings: Mapping[str, int], *, site: str
) -> frozenset[str]:
    """Return the sensors whose rows of the hour must stay, since what they were made from is no longer all there.

    That is every sensor that has a row, if one of them counts more readings than still stand: retention drops readings
    earlier than hours. None, if all that was stored of the hour can still be read.

    Args:
        connection: In the transaction that makes the hour.
        hour: Its start.
        readings: sensor_id -> readings that stand in the hour.
        site: Of the readings.
    """
    terms = {"start": hour, "end": hour + _HOUR, "site": site}
    standing: dict[str, int] = dict(connection.execute(_STANDING, terms).fetchall())
    if all(count <= readings.get(sensor, 0) for sensor, count in standing.items()):
        return frozenset()
    row = connection.execute(_LOST, terms).fetchone()
    return frozenset(standing) if row and row[0] else frozenset()


def replace_hour(
    connection: psycopg.Connection,
    hour: datetime,
    rows: Iterable[Sequence[Any]],
    *,
    site: str,
    keep: Collection[str] = (),
) -> int:
    """Make scada.hourly_readings hold exactly these rows (values of COLUMNS) for the hour; return how many are written.

    Rows of the sensors in `keep` stay as they are, and must not be among those given. The caller commits.
    """
    connection.execute(
        "DELETE FROM scada.hourly_readings WHERE site = %s AND hour = %s AND NOT sensor_id = ANY(%s)",
        (site, hour, list(keep)),
    )
    written = 0
    statement = f"COPY scada.hourly_readings ({', '.join(COLUMNS)}, site) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row((*row, site))
            written += 1
    return written


def _parts(sensors: Sequence[tuple[int, str, int]]) -> Iterator[list[tuple[int, str, int]]]:
    part: list[tuple[int, str, int]] = []
    rows = 0
    for sensor in sensors:
        if part and rows + sensor[2] > MOST_ROWS:
            yield part
            part, rows = [], 0
        part.append(sensor)
        rows += sensor[2]
    if part:
        yield part


def _in_own_unit(
    values: npt.NDArray[np.float64],
    calibrated: npt.NDArray[np.float64],
    origins: npt.NDArray[np.int32],
    factors: Mapping[int, tuple[float, float]],
) -> npt.NDArray[np.float64]:
    """Return the calibrated values in the units that the sensors are read in.

    A value that no calibration has changed comes back as it is, to the last digit.
    """
    found, positions = np.unique(origins, return_inverse=True)
    terms = np.array([factors[key] for key in found.tolist()], dtype=np.float64).reshape(-1, 2)
    factor, offset = terms[positions, 0], terms[positions, 1]
    back = (calibrated - offset) / factor
    return np.asarray(np.where(np.isnan(factor) | (values * factor + offset == calibrated), values, back))


def _terms(unit: str, calibrated_unit: str, atmosphere_kpa: float) -> tuple[float, float]:
    """Return factor and offset of a conversion; NaN where an earlier version stored what is no unit to this one."""
    if unit == calibrated_unit:
        return 1.0, 0.0
    try:
        return conversion(unit, calibrated_unit, atmosphere_kpa)
    except ConfigError:
        return float("nan"), 0.0


def _named(keys: npt.NDArray[np.int32], names: dict[int, str]) -> npt.NDArray[Any]:
    """Return the name of each key, by one look-up per distinct key."""
    found, positions = np.unique(keys, return_inverse=True)
    return np.array([names[key] for key in found.tolist()], dtype=object)[positions]
