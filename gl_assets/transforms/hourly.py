"""Readings rolled up by sensor and hour: the rows of `scada.hourly_readings`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from resources.core.errors import ConfigError, DataError
from resources.core.physics.gas_volumes import ATMOSPHERE_KPA
from resources.core.physics.units import conversion

HOUR_US = 3_600_000_000
"""One hour in microseconds."""

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
"""Columns of the result, in order."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def to_hourly(readings: pd.DataFrame, atmosphere_kpa: float = ATMOSPHERE_KPA) -> pd.DataFrame:
    """Return count, share of good readings, minimum, maximum, sum and time-weighted mean per sensor and hour.

    Only readings with status good count for minimum, maximum, sum and mean. A good value holds from its time until
    the sensor's next reading of any status, at most to the end of the hour; the mean weighs each value by how long it
    holds. Before the hour's first reading nothing holds: an hour is computed from its own readings alone, so that it
    comes out the same whatever was stored before it. Where good values hold for no time at all (one reading in the
    last microsecond) the mean is their plain mean. A value that overflows in the unit of the hour is not good; a sum
    that overflows is NaN.

    Args:
        readings: Columns time (UTC), sensor_id, value, unit, status; any order, any number of hours.
        atmosphere_kpa: Pressure of the air at the site, between gauge and absolute pressures.

    Returns:
        One row per (sensor_id, hour), by both, with the columns of COLUMNS: hour datetime64[us, UTC]; readings int64;
        good_share 0 to 1; min_value, max_value, sum_value and mean_value float64, NaN where no reading was good; in
        `unit`, the unit of the hour's last reading (others are converted).

    Raises:
        DataError: Within one hour a sensor has units that cannot be converted into one another.

    Source: OPC 10000-13 (Aggregates), TimeAverage with stepped interpolation, restricted to the interval's own values.
    """
    if readings.empty:
        return _empty()
    sensor, names = pd.factorize(readings["sensor_id"], sort=True)
    time = pd.DatetimeIndex(readings["time"]).as_unit("us").asi8
    order = np.lexsort((time, sensor))
    sensor, time = sensor[order], time[order]
    hour = time // HOUR_US
    first = np.flatnonzero(np.append(True, (sensor[1:] != sensor[:-1]) | (hour[1:] != hour[:-1])))
    last = np.append(first[1:], len(time)) - 1
    value, units = _in_last_unit(readings, (order, first, last), atmosphere_kpa)
    # what overflows in the hour's unit cannot be told in it
    good = (readings["status"] == "good").to_numpy()[order] & np.isfinite(value)
    counts = last - first + 1
    statistics = _statistics(value, good, _held_us(time, hour, first, last), first)
    return pd.DataFrame(
        {
            "hour": pd.DatetimeIndex((hour[first] * HOUR_US).view("datetime64[us]")).tz_localize("UTC"),
            "sensor_id": np.asarray(names, dtype=object)[sensor[first]],
            "readings": counts.astype(np.int64),
            "good_share": np.add.reduceat(good.astype(np.int64), first) / counts,
            **statistics,
            "unit": units,
        },
        columns=list(COLUMNS),
    )


def _empty() -> pd.DataFrame:
    kinds: dict[str, Any] = dict.fromkeys(COLUMNS, "float64")
    kinds |= {"hour": "datetime64[us, UTC]", "sensor_id": "str", "readings": "int64", "unit": "str"}
    return pd.DataFrame({name: pd.Series(dtype=kinds[name]) for name in COLUMNS})


def _held_us(time: Ints, hour: Ints, first: Ints, last: Ints) -> Floats:
    """Return how long each reading's value holds, in microseconds."""
    until = np.empty_like(time)
    until[:-1] = time[1:]
    until[last] = (hour[first] + 1) * HOUR_US
    return (until - time).astype(np.float64)


def _statistics(value: Floats, good: npt.NDArray[np.bool_], held: Floats, first: Ints) -> dict[str, Floats]:
    any_good = np.logical_or.reduceat(good, first)
    plain = np.where(good, value, 0.0)
    weight = np.where(good, held, 0.0)
    least = np.minimum.reduceat(np.where(good, value, np.inf), first)
    most = np.maximum.reduceat(np.where(good, value, -np.inf), first)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduceat(plain, first)
        mean = _mean(plain, weight, good, first)
        beyond = ~np.isfinite(mean)
        if beyond.any():
            # values near the largest number there is (some devices send it for "no value"): relative to the largest one
            largest = np.where(beyond, np.maximum(np.abs(least), np.abs(most)), 1.0)
            relative = plain / np.repeat(largest, np.diff(np.append(first, len(value))))
            mean = np.where(beyond, np.clip(largest * _mean(relative, weight, good, first), least, most), mean)
    found = {
        "min_value": least,
        "max_value": most,
        "sum_value": np.where(np.isfinite(total), total, np.nan),
        "mean_value": mean,
    }
    return {name: np.where(any_good, column, np.nan) for name, column in found.items()}


def _mean(plain: Floats, weight: Floats, good: npt.NDArray[np.bool_], first: Ints) -> Floats:
    """Return the weighted means; where nothing has a weight, the plain ones."""
    weights = np.add.reduceat(weight, first)
    count = np.maximum(np.add.reduceat(good.astype(np.int64), first), 1)
    weighted = np.add.reduceat(plain * weight, first) / np.where(weights > 0, weights, 1.0)
    return np.where(weights > 0, weighted, np.add.reduceat(plain, first) / count)


def _in_last_unit(
    readings: pd.DataFrame, hours: tuple[Ints, Ints, Ints], atmosphere_kpa: float
) -> tuple[Floats, npt.NDArray[Any]]:
    """Return the values, each in the unit of its hour's last reading, and that unit per hour."""
    order, first, last = hours
    value = readings["value"].to_numpy(dtype=np.float64, na_value=np.nan)[order]
    codes, names = pd.factorize(readings["unit"])
    codes, units = codes[order], np.asarray(names, dtype=object)
    wanted = np.repeat(codes[last], last - first + 1)
    for old, new in {*zip(codes[codes != wanted].tolist(), wanted[codes != wanted].tolist(), strict=True)}:
        rows = (codes == old) & (wanted == new)
        try:
            factor, offset = conversion(units[old], units[new], atmosphere_kpa)
        except ConfigError as error:
            sensors = sorted(set(readings["sensor_id"].to_numpy()[order][rows]))[:3]
            raise DataError(
                f"within one hour {', '.join(sensors)} came in {units[old]} and in {units[new]}, which do not convert "
                "into one another: store the hour's windows anew with the tag's unit corrected"
            ) from error
        with np.errstate(over="ignore"):
            value[rows] = factor * value[rows] + offset
    return value, units[codes[last]]
