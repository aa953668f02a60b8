"""The duplicate rule: of one sensor and time the latest arrival stands. Pure.

Of the earlier arrivals those with the value that stands, or that another rejected one has already, are counted as
deduplicated; the others are rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from resources.window_buffer.disk.columns import MISSING, Columns, Int64s

Positions = npt.NDArray[np.intp]
_NAN_CODE = np.iinfo(np.int64).max
_MISSING_CODE = np.iinfo(np.int64).min
# both are bit patterns of NaN, so no number has them


@dataclass(frozen=True, slots=True)
class Settled:
    """Positions of rows in their order of arrival."""

    kept: Positions
    """One per (sensor, time), ascending in both."""
    repeated: Positions = field(default_factory=lambda: np.empty(0, np.intp))
    """Left out: the same value is there."""
    overtaken: Positions = field(default_factory=lambda: np.empty(0, np.intp))
    """Left out: another value arrived later."""


def settle(sensor: npt.NDArray[np.int32], offset: Int64s, values_of: Callable[[Positions], Int64s]) -> Settled:
    """Return which rows stand, sorted by (sensor, time).

    Args:
        sensor: Sensor of each row, in order of arrival.
        offset: Time of each row less the window's start, microseconds below 2**32.
        values_of: Returns for rows a number each that is equal exactly where their values are; it is asked only
            about rows whose sensor and time occur more than once.
    """
    composite = sensor.astype(np.int64) << 32 | offset
    # stable: of equal ones the last is the latest arrival; on rows that come tick by tick it merges presorted runs
    order = np.argsort(composite, kind="stable")
    composite = composite[order]
    last = np.empty(len(order), np.bool_)
    last[-1:] = True
    np.not_equal(composite[1:], composite[:-1], out=last[:-1])
    if last.all():
        return Settled(order)
    kept = order[last]
    group: Int64s = np.cumsum(last) - last
    earlier = ~last
    rows, standing = order[earlier], kept[group[earlier]]
    value = values_of(rows)
    same = value == values_of(standing)
    overtaken = rows[~same]
    # of equal values that were overtaken, one is enough to be kept as rejected
    _, first = np.unique(np.stack([group[earlier][~same], value[~same]]), axis=1, return_index=True)
    once = np.zeros(len(overtaken), np.bool_)
    once[first] = True
    repeated = np.concatenate([rows[same], overtaken[~once]])
    return Settled(kept, np.sort(repeated), np.sort(overtaken[once]))


def number_codes(columns: Columns) -> Callable[[Positions], Int64s]:
    """Return the `values_of` of numeric readings: NaN equals NaN, none equals none, 0.0 equals -0.0."""

    def codes(rows: Positions) -> Int64s:
        value = columns.value[rows] + 0.0
        found = value.view(np.int64)
        found = np.where(np.isnan(value), _NAN_CODE, found)
        return np.where(columns.status[rows] & MISSING, _MISSING_CODE, found)

    return codes
