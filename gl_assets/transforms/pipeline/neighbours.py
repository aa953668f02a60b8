"""Validate, second half: what can be said of a reading among those before it, sensor by sensor.

- `rate_of_change`: a value no further from the last plausible one than the tag's `max_rate` allows for the time
  between. A spike breaks it, the return from it does not; a step breaks it for as long as the step would have taken.
- `flat_line`: a value that has not stayed the same for `flat_after`.
- `out_of_order`: a reading that did not come after a newer one of its sensor.

Only readings with a value, whose status is not bad, are compared; the others neither break these rules nor count for
those after them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.pipeline.columns import Columns, Mask, Positions
from gl_assets.transforms.sensors import NEVER_US, SensorTable
from resources.core.readings import Status

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SECOND = 1e6


@dataclass(frozen=True, slots=True)
class Before:
    """The last plausible reading of each sensor before the window, in the order of the sensor table."""

    time_us: Ints
    """Its source time."""
    value: Floats
    """Its value, in the unit the sensor is collected in now; NaN: there is none."""
    since_us: Ints
    """Since when the value was the same."""

    @classmethod
    def nothing(cls, sensors: SensorTable) -> Before:
        """Return what is known where nothing is: each sensor's first reading is taken as it comes."""
        zeros = np.zeros(len(sensors), dtype=np.int64)
        return cls(zeros, np.full(len(sensors), np.nan), zeros)


def implausible(columns: Columns, sensors: SensorTable, before: Before) -> Positions:
    """Return the readings that have come further than `max_rate` allows."""
    rows = _comparable(columns, np.isfinite(sensors.max_rate) & sensors.held_against("rate_of_change"))
    if not len(rows):
        return rows
    sensor, time, value = _at(rows, columns)
    allowed = sensors.max_rate / _SECOND
    far = np.zeros(len(rows), dtype=bool)
    change = np.diff(value)
    np.abs(change, out=change)
    most = allowed[sensor[1:]]
    most *= np.diff(time)
    np.greater(change, most, out=far[1:])
    first = _firsts(sensor)
    at = sensor[first]
    known = ~np.isnan(before.value[at])
    far[first] = known & (np.abs(value[first] - before.value[at]) > allowed[at] * (time[first] - before.time_us[at]))
    if not far.any():
        return np.empty(0, dtype=np.intp)
    found = _stretches(far, first, _Line(sensor, time, value, allowed, before))
    positions: Positions = rows[found]
    return positions


@dataclass(frozen=True, slots=True)
class _Line:
    """The comparable readings."""

    sensor: npt.NDArray[np.int32]
    time: Ints
    value: Floats
    allowed: Floats
    """Greatest change in a microsecond, by sensor."""
    before: Before

    def plausible_after(self, time: int, value: float, start: int, end: int) -> int:
        """Return the first of the rows [start, end) that could have come from `value` at `time`; `end` if none."""
        rate, step = self.allowed[self.sensor[start]], 16
        while start < end:
            stop = min(start + step, end)
            near = np.abs(self.value[start:stop] - value) <= rate * (self.time[start:stop] - time)
            place = int(near.argmax())
            if near[place]:
                return start + place
            start, step = stop, 4 * step
        return end


def _stretches(far: Mask, first: Positions, line: _Line) -> Mask:
    """Return all implausible rows, given those that are too far from the one before: one step per stretch, not per row.

    Between two stretches each row is plausible because the one before it is, so only leaps have to be looked at.
    """
    found = np.zeros(len(far), dtype=bool)
    ends = np.append(first[1:], len(far))
    leaps = np.flatnonzero(far)
    owner = np.searchsorted(first, leaps, side="right") - 1
    done = 0
    for row, own in zip(leaps.tolist(), owner.tolist(), strict=True):
        if row < done:
            continue
        if row == first[own]:
            sensor = line.sensor[row]
            time, value = int(line.before.time_us[sensor]), float(line.before.value[sensor])
        else:
            time, value = int(line.time[row - 1]), float(line.value[row - 1])
        end = int(ends[own])
        back = line.plausible_after(time, value, row, end)
        found[row:back] = True
        # the row that is plausible again is far from the spike before it, which says nothing against it
        done = back if back == end else back + 1
    return found


def leaps(rows: Columns, standing: Columns, sensors: SensorTable, before: Before) -> Positions:
    """Return which of readings that are rejected for something else have come further than `max_rate` allows, too.

    Args:
        rows: The rejected readings.
        standing: The plausible ones of the window.
        sensors: The window's sensors.
        before: The last readings before the window.
    """
    watched = np.isfinite(sensors.max_rate) & sensors.held_against("rate_of_change")
    asked = np.flatnonzero(watched[rows.sensor] & np.isfinite(rows.value))
    if not len(asked):
        return asked
    comparable = _comparable(standing, watched)
    sensor, time, value = _at(comparable, standing)
    start = min(int(rows.time_us.min()), int(time.min(initial=rows.time_us.min())))
    own = rows.sensor[asked]
    last = np.searchsorted(_keys(sensor, time, start), _keys(own, rows.time_us[asked], start)) - 1
    inside = last >= 0
    inside[inside] = sensor[last[inside]] == own[inside]
    from_time = np.where(inside, time[last] if len(time) else 0, before.time_us[own])
    from_value = np.where(inside, value[last] if len(value) else np.nan, before.value[own])
    most = sensors.max_rate[own] / _SECOND * (rows.time_us[asked] - from_time)
    found: Positions = asked[np.abs(rows.value[asked] - from_value) > most]
    return found


def _keys(sensor: npt.NDArray[np.int32], time_us: Ints, start_us: int) -> Ints:
    keys: Ints = sensor.astype(np.int64) << 32 | (time_us - start_us)
    return keys


def flat(columns: Columns, sensors: SensorTable, before: Before) -> Positions:
    """Return the readings whose value has been the same for the tag's `flat_after` or longer."""
    rows = _comparable(columns, (sensors.flat_after_us < NEVER_US) & sensors.held_against("flat_line"))
    if not len(rows):
        return rows
    sensor, time, value = _at(rows, columns)
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = (value[1:] != value[:-1]) | (sensor[1:] != sensor[:-1])
    runs = np.flatnonzero(begins)
    since = time[runs]
    first = _firsts(sensor)
    at = sensor[first]
    goes_on = first[value[first] == before.value[at]]
    since[np.searchsorted(runs, goes_on)] = before.since_us[sensor[goes_on]]
    lasted = time - np.repeat(since, np.diff(np.append(runs, len(rows))))
    found: Positions = rows[lasted >= sensors.flat_after_us[sensor]]
    return found


def out_of_order(columns: Columns) -> Positions:
    """Return the readings that came after a newer one of their sensor."""
    sensor, sequence = columns.sensor, columns.sequence
    late = (sequence[1:] < sequence[:-1]) & (sensor[1:] == sensor[:-1])
    if not late.any():
        return np.empty(0, dtype=np.intp)
    rows = np.flatnonzero(np.isin(sensor, np.unique(sensor[1:][late])))
    rank = np.empty(len(rows), dtype=np.int64)
    rank[np.argsort(sequence[rows])] = np.arange(len(rows))
    # from the newest backwards the least rank so far; the sensor above it starts each sensor anew
    keyed = sensor[rows].astype(np.int64) << 32 | rank
    least = np.minimum.accumulate(keyed[::-1])[::-1]
    found: Positions = rows[least < keyed]
    return found


def _comparable(columns: Columns, of: Mask) -> Positions:
    """Return the rows of these sensors that have a value their source does not call bad."""
    if not of.any():
        return np.empty(0, dtype=np.intp)
    fit = columns.status != Status.BAD
    if not of.all():
        fit &= of[columns.sensor]
    fit &= ~np.isnan(columns.value)
    return np.flatnonzero(fit)


def _at(rows: Positions, columns: Columns) -> tuple[npt.NDArray[np.int32], Ints, Floats]:
    if len(rows) == len(columns):
        return columns.sensor, columns.time_us, columns.value
    return columns.sensor[rows], columns.time_us[rows], columns.value[rows]


def _firsts(sensor: npt.NDArray[np.int32]) -> Positions:
    """Return where each sensor's rows begin."""
    return np.flatnonzero(np.append(True, sensor[1:] != sensor[:-1]))
