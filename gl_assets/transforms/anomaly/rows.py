"""Readings of several sensors as rows of one grid of time: what a detector is trained on and scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.anomaly.features import Floats


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of equal length in time, half-open each; a row is known by its beginning."""

    start_us: int
    """Beginning of the first row, microseconds since 1970, UTC: a multiple of the step, so that grids agree."""
    step_us: int
    rows: int

    @classmethod
    def covering(cls, from_us: int, to_us: int, step_us: int) -> Grid:
        """Return the rows that lie wholly or in part in `[from_us, to_us)`."""
        first = from_us // step_us
        return cls(first * step_us, step_us, max(-(-to_us // step_us) - first, 0))

    def times_us(self) -> npt.NDArray[np.int64]:
        """Return the beginning of each row."""
        return self.start_us + self.step_us * np.arange(self.rows, dtype=np.int64)


def align(
    time_us: npt.NDArray[np.int64], sensor: npt.NDArray[np.integer], value: Floats, grid: Grid, *, sensors: int
) -> Floats:
    """Return the mean of each sensor in each row; NaN where it has no reading.

    Args:
        time_us: Of each reading; those outside the grid are left out.
        sensor: Position of its sensor; negative: left out.
        value: Calibrated value; NaN: left out.
        grid: The rows.
        sensors: Number of sensors, the columns.
    """
    row = (time_us - grid.start_us) // grid.step_us
    fits = (row >= 0) & (row < grid.rows) & (sensor >= 0) & np.isfinite(value)
    cell = row[fits] * sensors + sensor[fits]
    counts = np.bincount(cell, minlength=grid.rows * sensors)
    sums = np.bincount(cell, weights=value[fits], minlength=grid.rows * sensors)
    means = np.full(len(counts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means.reshape(grid.rows, sensors)


def hold(values: Floats, rows: int) -> Floats:
    """Return the rows with missing values replaced by the sensor's last one, at most `rows` rows old."""
    place = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, place), axis=0)
    held: Floats = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    held[(last < 0) | (place - last > rows)] = np.nan
    return held
