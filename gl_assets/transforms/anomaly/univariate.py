"""The robust detector of one sensor: outliers against a rolling median, and lasting changes of level.

Both look back only, so that live readings are judged as stored ones are. Distances are in robust standard deviations
(1.4826 times the median absolute deviation); the limit of each sensor is what it reached in clean rows and half as much
again, and never less than six.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.anomaly.features import Floats

OUTLIER_ROWS = 60
"""Rows before a row that its median and deviation are taken from."""

LEVEL_ROWS = 30
"""Rows before and after a change of level."""

LEAST_LIMIT = 6.0
"""A normal distribution passes six standard deviations twice in a thousand million rows."""

MARGIN = 1.5
"""What a sensor's greatest distance in clean rows is multiplied with: longer recordings reach further."""

MOST_ROWS = 20_000
"""Latest rows that limits are learnt from: medians of more take longer than they teach."""

_AT_ONCE = 2_000_000
"""Values that medians are taken of at once: a week of rows would need gigabytes."""

_CONSISTENT = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Deviations:
    """How far each row of each sensor lies from what came before; NaN where too little did."""

    outlier: Floats
    """Distance from the median of the rows before."""
    expected: Floats
    """That median."""
    level: Floats
    """Distance between the medians of the last LEVEL_ROWS rows and of as many before them."""
    level_before: Floats
    level_after: Floats


@dataclass(frozen=True, slots=True)
class Limits:
    """What is normal of each sensor, learnt from clean rows."""

    outlier: Floats
    level: Floats
    resolution: Floats
    """Least deviation that counts as one: half of the sensor's smallest step."""


def learn_limits(values: Floats) -> Limits:
    """Return the limits of each column, learnt from clean rows in order of time; NaN: no value.

    A sensor that never changed has none.
    """
    values = values[-MOST_ROWS:]
    resolution = _resolution(values)
    found = deviations(values, resolution)
    # of a sensor that never changed nothing is known about how it does
    still = _steps(values).max(axis=0, initial=0.0) == 0
    outlier, level = (np.where(still, np.inf, _limit(distances)) for distances in (found.outlier, found.level))
    return Limits(outlier, level, resolution)


def outliers(found: Deviations, limits: Limits) -> npt.NDArray[np.bool_]:
    """Return which values are outliers."""
    flags: npt.NDArray[np.bool_] = found.outlier > limits.outlier
    return flags


def level_changes(found: Deviations, limits: Limits) -> npt.NDArray[np.bool_]:
    """Return in which rows a lasting change of level has become certain: the first row above the limit each time."""
    above = found.level > limits.level
    flags = above.copy()
    flags[1:] &= ~above[:-1]
    return flags


def deviations(values: Floats, resolution: Floats) -> Deviations:
    """Return how far each row lies from what came before.

    Args:
        values: Rows in order of time x sensors; NaN: no value, which is no deviation.
        resolution: Of each sensor.
    """
    missing = np.isnan(values)
    filled = _filled(values)
    medians, spreads = _rolling(filled, OUTLIER_ROWS)
    # of the rows before a row, not of the row itself
    expected, spread = _later(medians, 1), _later(spreads, 1)
    outlier = np.abs(filled - expected) / (_CONSISTENT * np.maximum(spread, resolution))
    after, after_spread = _rolling(filled, LEVEL_ROWS)
    before, before_spread = _later(after, LEVEL_ROWS), _later(after_spread, LEVEL_ROWS)
    noise = _CONSISTENT * np.maximum(np.sqrt((after_spread**2 + before_spread**2) / 2), resolution)
    # the median of n normal values scatters by sqrt(pi / 2n), and here are two of them
    level = np.abs(after - before) / (noise * np.sqrt(np.pi / LEVEL_ROWS))
    for found in (outlier, level):
        found[missing] = np.nan
    return Deviations(outlier, expected, level, before, after)


def _filled(values: Floats) -> Floats:
    """Return the values with gaps closed by the last value, at the beginning by the first."""
    if not len(values):
        return values
    place = np.arange(len(values))[:, None]
    known = ~np.isnan(values)
    last = np.maximum.accumulate(np.where(known, place, -1), axis=0)
    filled: Floats = np.take_along_axis(values, np.where(last < 0, known.argmax(axis=0), last), axis=0)
    return filled


def _rolling(values: Floats, rows: int) -> tuple[Floats, Floats]:
    """Return median and median absolute deviation of each row and those before it, `rows` in all; NaN before that."""
    medians, spreads = np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    part = max(_AT_ONCE // (rows * max(values.shape[1], 1)), 1)
    for begin in range(rows - 1, len(values), part):
        end = min(begin + part, len(values))
        windows = np.lib.stride_tricks.sliding_window_view(values[begin - rows + 1 : end], rows, axis=0)
        medians[begin:end] = np.median(windows, axis=2)
        spreads[begin:end] = np.median(np.abs(windows - medians[begin:end, :, None]), axis=2)
    return medians, spreads


def _later(values: Floats, rows: int) -> Floats:
    moved = np.full(values.shape, np.nan)
    moved[rows:] = values[: len(values) - rows] if rows < len(values) else values[:0]
    return moved


def _limit(distances: Floats) -> Floats:
    greatest = np.max(distances, axis=0, initial=0.0, where=~np.isnan(distances))
    limit: Floats = np.maximum(MARGIN * greatest, LEAST_LIMIT)
    return limit


def _resolution(values: Floats) -> Floats:
    """Return half of the smallest step of each column; of a constant one what rounding makes of its level."""
    steps = _steps(values)
    smallest = np.min(steps, axis=0, initial=np.inf, where=steps > 0)
    level = np.max(np.abs(values), axis=0, initial=0.0, where=~np.isnan(values))
    rounding = np.maximum(1e-9 * level, np.finfo(np.float64).tiny)
    found: Floats = np.maximum(np.where(np.isfinite(smallest), smallest / 2, rounding), rounding)
    return found


def _steps(values: Floats) -> Floats:
    steps: Floats = np.abs(np.diff(_filled(values), axis=0))
    return steps
