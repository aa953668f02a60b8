"""Stored readings calibrated anew: from value and unit as they stand, by the calibrations that hold now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.calibration import Calibrations
from resources.core.calibration.book import CalibrationBook
from resources.core.physics.units import conversion


@dataclass(frozen=True, slots=True)
class StoredReadings:
    """Readings of some sensors, each in the units that it was stored in; columns of one length."""

    sensor_ids: Sequence[str]
    units: Sequence[str]
    calibrated_units: Sequence[str]
    sensor: npt.NDArray[np.int32]
    """Position in the three above: the same sensor stands there once for each pair of units."""
    time_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    """NaN: no value."""


def recalibrated(readings: StoredReadings, book: CalibrationBook) -> npt.NDArray[np.float64]:
    """Return the calibrated values, in the units they were stored in; what overflows ends as infinity.

    Raises:
        ConfigError: Units that were stored together do not convert into one another.
    """
    pairs = zip(readings.units, readings.calibrated_units, strict=True)
    terms = np.array(
        [(1.0, 0.0) if one == other else conversion(one, other, book.atmosphere_kpa) for one, other in pairs],
        dtype=np.float64,
    ).reshape(-1, 2)
    calibrations = Calibrations.of(readings.sensor_ids, readings.units, book)
    found = calibrations.apply(readings.sensor, readings.time_us, readings.value)
    with np.errstate(over="ignore", invalid="ignore"):
        # in the order of the pipeline's own steps, so that what is right already comes out the same to the last digit
        found = found * terms[readings.sensor, 0]
        found += terms[readings.sensor, 1]
    return np.asarray(found)
