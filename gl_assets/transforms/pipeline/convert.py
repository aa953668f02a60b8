"""Calibrate and convert: from the value as it came to the value in the canonical unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gl_assets.transforms.calibration import Calibrations
from gl_assets.transforms.pipeline.columns import Columns, Positions
from gl_assets.transforms.sensors import SensorTable


def calibrate(columns: Columns, calibrations: Calibrations | None) -> Columns:
    """Return readings with what the sensors' certificates make of their values, in the unit collected in."""
    if calibrations is None:
        return columns
    calibrated = calibrations.apply(columns.sensor, columns.time_us, columns.value)
    return replace(columns, calibrated_value=calibrated)


def convert(columns: Columns, sensors: SensorTable) -> Columns:
    """Return readings with their calibrated values in the canonical units; what overflows ends as infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        converted = columns.calibrated_value * sensors.factor[columns.sensor]
        if sensors.offset.any():
            converted += sensors.offset[columns.sensor]
    return replace(columns, calibrated_value=converted)


def overflowed(columns: Columns) -> Positions:
    """Return the readings whose value is finite and whose calibrated value is not."""
    infinite = np.flatnonzero(~np.isfinite(columns.calibrated_value))
    found: Positions = infinite[np.isfinite(columns.value[infinite])]
    return found
