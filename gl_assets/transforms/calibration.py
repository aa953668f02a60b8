"""Engineering values as their certificates correct them: all sensors of a window at once, by NumPy.

Each calibration of a sensor is one period of source time with a function: a polynomial (a linear one is of degree 1) or
a table of points with straight lines between them. A value outside every period stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resources.core.calibration.book import CalibrationBook
from resources.core.calibration.calibrations import CalibrationConfig
from resources.core.clock import to_micros
from resources.core.errors import ConfigError
from resources.core.physics.units import conversion

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Positions = npt.NDArray[np.intp]

_NEVER = np.iinfo(np.int64).max
"""End of a period without end."""


@dataclass(frozen=True, slots=True)
class _Points:
    """The tables of all periods in one row: the segments of a period follow one another."""

    first: Ints
    """Period -> its first segment; -1: it has no table."""
    last: Ints
    """Period -> its last segment."""
    shown: Floats
    """Where each segment begins."""
    true: Floats
    """The true value there."""
    slope: Floats

    def at(self, period: Positions, value: Floats) -> Floats:
        """Return the true values of values whose periods have a table."""
        low, high = self.first[period], self.last[period]
        # all tables are searched at once, by bisection: as many steps as the longest one needs
        while bool((low < high).any()):
            middle = (low + high + 1) // 2
            right = value >= self.shown[middle]
            low, high = np.where(right, middle, low), np.where(right, high, middle - 1)
        found: Floats = self.true[low] + self.slope[low] * (value - self.shown[low])
        return found


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The calibrations of a window's sensors: one entry per period, in no particular order."""

    sensors: int
    """How many sensors the window has."""
    sensor: npt.NDArray[np.int32]
    """Position of the period's sensor in the window."""
    since_us: Ints
    until_us: Ints
    coefficients: Floats
    """Powers x periods, lowest first; 0, 1, 0 ... for a period with a table."""
    unit_factor: Floats
    """Value in the certificate's unit = unit_factor * value + unit_offset: before a polynomial, and undone after it."""
    unit_offset: Floats
    points: _Points

    @classmethod
    def of(cls, sensor_ids: Sequence[str], units: Sequence[str], book: CalibrationBook) -> Calibrations:
        """Return the calibrations of sensors.

        Args:
            sensor_ids: The window's sensors: a reading's sensor is a position here.
            units: The unit each was collected in. Where it does not convert to the certificate's, the calibration is
                left out: readings in such a unit cannot be stored anyway.
            book: All calibrations of the configuration.
        """
        periods = []
        if len(book):
            for position, (sensor_id, unit) in enumerate(zip(sensor_ids, units, strict=True)):
                for calibration in book.of(sensor_id):
                    try:
                        terms = conversion(unit, book.unit_of(calibration) or unit, book.atmosphere_kpa)
                    except ConfigError:
                        continue
                    periods.append((position, calibration, terms))
        return _columns(len(sensor_ids), periods)

    def apply(self, sensor: npt.NDArray[np.int32], time_us: Ints, value: Floats) -> Floats:
        """Return the calibrated values, in the units of the values; `value` itself where nothing is to be done.

        Args:
            sensor: Position of each reading's sensor.
            time_us: Source time, microseconds since 1970 UTC: says which period holds.
            value: Engineering value; NaN stays NaN. What overflows ends as infinity.
        """
        edges, table = self._in_time(time_us)
        if not (table >= 0).any():
            return value
        with np.errstate(over="ignore", invalid="ignore"):
            if not len(edges) and self._is_linear(table[0]):
                return self._linear(table[0], sensor, value)
            period = _of_rows(edges, table, sensor, time_us)
            rows = np.flatnonzero(period >= 0)
            calibrated = value.copy()
            calibrated[rows] = self._true(period[rows], value[rows])
        return calibrated

    def lapsed(self, sensor: npt.NDArray[np.int32], time_us: Ints) -> npt.NDArray[np.bool_]:
        """Return which readings are of a sensor that has calibrations, none of which holds at their time."""
        has = np.zeros(self.sensors, dtype=bool)
        has[self.sensor] = True
        edges, table = self._in_time(time_us)
        if not len(edges):
            has &= table[0] < 0
            return np.asarray(has[sensor])
        return np.asarray(has[sensor] & (_of_rows(edges, table, sensor, time_us) < 0))

    def _in_time(self, time_us: Ints) -> tuple[Ints, Positions]:
        """Return the instants at which periods change within the readings' time, and the periods between them.

        The second is one row more than there are instants: position of a sensor -> the period that holds, -1: none.
        """
        none: Ints = np.empty(0, dtype=np.int64)
        if not len(self.sensor) or not len(time_us):
            return none, np.full((1, self.sensors), -1, dtype=np.intp)
        first, last = int(time_us.min()), int(time_us.max())
        near = (self.since_us <= last) & (self.until_us > first)
        edges = np.unique(np.concatenate([self.since_us[near], self.until_us[near]]))
        edges = edges[(edges > first) & (edges <= last)]
        table = np.full((len(edges) + 1, self.sensors), -1, dtype=np.intp)
        for slot, at in enumerate([first, *edges.tolist()]):
            holds = np.flatnonzero(near & (self.since_us <= at) & (self.until_us > at))
            table[slot, self.sensor[holds]] = holds
        return edges, table

    def _is_linear(self, period: Positions) -> bool:
        """Return whether all these periods are straight lines: the usual case, and the quick one."""
        holds = period[period >= 0]
        return not (self.coefficients[2:, holds].any() or (self.points.first[holds] >= 0).any())

    def _linear(self, period: Positions, sensor: npt.NDArray[np.int32], value: Floats) -> Floats:
        holds = period >= 0
        factor, offset = np.ones(self.sensors), np.zeros(self.sensors)
        factor[holds], offset[holds] = self.coefficients[1, period[holds]], self.coefficients[0, period[holds]]
        calibrated = factor[sensor]
        calibrated *= value
        calibrated += offset[sensor]
        return calibrated

    def _true(self, period: Positions, value: Floats) -> Floats:
        own_unit = bool((self.unit_factor == 1.0).all() and (self.unit_offset == 0.0).all())
        shown = value if own_unit else value * self.unit_factor[period] + self.unit_offset[period]
        powers = len(self.coefficients)
        true = self.coefficients[powers - 1][period]
        for power in range(powers - 2, -1, -1):
            true *= shown
            true += self.coefficients[power][period]
        if not own_unit:
            true = (true - self.unit_offset[period]) / self.unit_factor[period]
        tabled = np.flatnonzero(self.points.first[period] >= 0)
        if len(tabled):
            true[tabled] = self.points.at(period[tabled], value[tabled])
        return np.asarray(true)


def _of_rows(edges: Ints, table: Positions, sensor: npt.NDArray[np.int32], time_us: Ints) -> Positions:
    """Return the period that holds for each reading, -1 where none does."""
    return np.asarray(table[np.searchsorted(edges, time_us, side="right"), sensor])


def _columns(sensors: int, periods: Sequence[tuple[int, CalibrationConfig, tuple[float, float]]]) -> Calibrations:
    found = [calibration for _, calibration, _ in periods]
    functions = [_polynomial(calibration, terms) for _, calibration, terms in periods]
    coefficients = np.zeros((max(map(len, functions), default=2), len(periods)))
    for number, function in enumerate(functions):
        coefficients[: len(function), number] = function
    terms = np.array([terms for _, _, terms in periods], dtype=np.float64).reshape(-1, 2)
    bent = np.array([_straight(c) is None and c.polynomial is not None for c in found], dtype=bool)
    return Calibrations(
        sensors=sensors,
        sensor=np.array([position for position, _, _ in periods], dtype=np.int32),
        since_us=np.array([to_micros(c.valid_from) for c in found], dtype=np.int64),
        until_us=np.array(
            [_NEVER if c.valid_until is None else to_micros(c.valid_until) for c in found], dtype=np.int64
        ),
        coefficients=coefficients,
        unit_factor=np.where(bent, terms[:, 0], 1.0),
        unit_offset=np.where(bent, terms[:, 1], 0.0),
        points=_points(found, terms),
    )


def _polynomial(calibration: CalibrationConfig, terms: tuple[float, float]) -> Sequence[float]:
    """Return the coefficients; of a straight line in the unit that the readings were collected in."""
    straight = _straight(calibration)
    if straight is not None:
        zero, gain = straight
        return (gain * terms[1] + zero - terms[1]) / terms[0], gain
    return calibration.polynomial or (0.0, 1.0)


def _straight(calibration: CalibrationConfig) -> tuple[float, float] | None:
    """Return zero and gain of a straight line, however it is stated; None: the calibration is none."""
    if calibration.linear is not None:
        return calibration.linear.offset, calibration.linear.factor
    if calibration.polynomial is not None and not any(calibration.polynomial[2:]):
        return calibration.polynomial[0], calibration.polynomial[1]
    return None


def _points(calibrations: Sequence[CalibrationConfig], terms: Floats) -> _Points:
    """Return the tables, in the units that the readings were collected in."""
    first = np.full(len(calibrations), -1, dtype=np.int64)
    last = np.full(len(calibrations), -1, dtype=np.int64)
    parts: list[npt.NDArray[Any]] = [np.empty((0, 3))]
    segments = 0
    for number, calibration in enumerate(calibrations):
        if calibration.lookup is None:
            continue
        table = (np.array(calibration.lookup, dtype=np.float64) - terms[number, 1]) / terms[number, 0]
        steps = np.diff(table, axis=0)
        parts.append(np.column_stack([table[:-1], steps[:, 1] / steps[:, 0]]))
        first[number], last[number] = segments, segments + len(steps) - 1
        segments += len(steps)
    shown, true, slope = np.concatenate(parts).T
    return _Points(first, last, shown, true, slope)
