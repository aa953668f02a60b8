"""Sensors that wander by themselves, judged by how suddenly they leave their own course.

Where such a sensor stands says nothing, but how fast it got there does. Each is compared with a mean of its recent past
that follows it, slower than an anomaly begins; while one stands the mean follows ten times slower still, so that the
anomaly lasts. It ends when the sensor is back, or has been away for so long that it has a new course.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.anomaly.features import Floats

MARGIN = 4.0
"""What the quantile of training is multiplied with: drift has no distribution that training could have shown."""

_SLOWER = 10.0
"""How much slower the mean follows while an anomaly stands."""

_NEW_COURSE = 4
"""Memories of the mean after which a sensor that has left its course has a new one."""

_LEAST_VARIANCE = 1e-6
"""Least variance of the deviations from the course, over that of the sensor."""

_BLOCK = 64
"""Rows that are taken at once."""

_RELEASE = 0.3
"""Share of the limit below which an anomaly ends."""


@dataclass(frozen=True, slots=True)
class Course:
    """What is normal of wandering sensors."""

    sensor: npt.NDArray[np.intp]
    """Their positions among the sensors of a row."""
    precision: Floats
    """Inverse covariance of their deviations from their course."""
    limit: float
    memory_rows: int
    """Rows that the mean remembers."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the following mean stands, and whether an anomaly does."""

    mean: Floats
    """NaN: the sensor has not had a value yet."""
    last: Floats
    """The last value of each sensor: it goes on where there is none."""
    rows: int = 0
    stands: bool = False
    standing_rows: int = 0

    @classmethod
    def unknown(cls, course: Course) -> Position:
        """Return the position before the first row."""
        return cls(np.full(len(course.sensor), np.nan), np.full(len(course.sensor), np.nan))


@dataclass(frozen=True, slots=True)
class Followed:
    """What was found of rows."""

    statistic: Floats
    """Squared distance from the course, per sensor; NaN until the mean has settled."""
    stands: npt.NDArray[np.bool_]
    deviations: Floats
    """Rows x wandering sensors; 0 where there is no value."""
    position: Position
    """After the last row."""


def learn_course(smoothed: Floats, sensor: npt.NDArray[np.intp], *, memory_rows: int, confidence: float) -> Course:
    """Return the course of wandering sensors, learnt from clean smoothed rows in order of time."""
    count = len(sensor)
    # as if no anomaly stood: nothing is above an infinite limit
    blind = Course(sensor, np.eye(count), np.inf, memory_rows)
    found = follow(blind, smoothed, Position.unknown(blind))
    residuals = found.deviations[memory_rows:]
    if not count or not len(residuals):
        return blind
    covariance = residuals.T @ residuals / len(residuals)
    # one that stood still in the end is not known any better than a thousandth of how far it wandered
    least = np.maximum(_LEAST_VARIANCE * smoothed.var(axis=0), np.finfo(np.float64).tiny)
    spread = np.maximum(np.diag(covariance), least)
    # 0.9: as the steady sensors, so that two that wander alike do not become certainty
    correlation = 0.9 * covariance / np.sqrt(np.outer(spread, spread))
    np.fill_diagonal(correlation, 1.0)
    precision = np.linalg.inv(correlation) / np.sqrt(np.outer(spread, spread))
    statistic = np.einsum("ij,jk,ik->i", residuals, precision, residuals) / count
    return Course(sensor, precision, MARGIN * max(float(np.quantile(statistic, confidence)), 1.0), memory_rows)


def follow(course: Course, smoothed: Floats, position: Position) -> Followed:
    """Return how far rows leave their course, and where the mean stands after them.

    Whether an anomaly stands decides how fast the mean goes on; as long as that does not change it is a weighted sum,
    so that rows are taken in blocks up to where it does.

    Args:
        course: What is normal.
        smoothed: Rows x wandering sensors; NaN: no value.
        position: Where the mean stands before them.
    """
    rows = len(smoothed)
    statistic, stands = np.full(rows, np.nan), np.zeros(rows, dtype=bool)
    deviations = np.zeros(smoothed.shape)
    known = ~np.isnan(smoothed)
    values = _carried_on(smoothed, known, position.last)
    begin = 0
    while begin < rows and len(course.sensor):
        part = slice(begin, min(begin + _BLOCK, rows))
        block = _Block.of(course, values[part], known[part], position)
        taken = block.until_it_changes(course, position)
        done = slice(begin, begin + taken)
        statistic[done], deviations[done] = block.statistic[:taken], block.deviations[:taken]
        stands[done] = position.stands
        position = block.after(taken, position)
        begin += taken
        if begin < rows and taken < len(block.statistic):
            statistic[begin], deviations[begin] = block.statistic[taken], block.deviations[taken]
            position = _turned(course, position, values[begin])
            stands[begin] = position.stands
            begin += 1
    return Followed(statistic, stands, deviations, position)


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows as they are if nothing begins or ends in them."""

    values: Floats
    means: Floats
    """After each row."""
    deviations: Floats
    statistic: Floats

    @classmethod
    def of(cls, course: Course, values: Floats, known: npt.NDArray[np.bool_], position: Position) -> _Block:
        """Return a block of rows that begins at a position."""
        numbers = position.rows + 1 + np.arange(len(values))
        pace = _pace(course, numbers, stands=position.stands)
        # a sensor begins where it has its first value
        first = np.where(np.isnan(position.mean), _first(values), position.mean)
        # mean = (1 - pace) mean + pace value, row after row, as one sum: values weighed by what is left of each
        left = np.cumprod(1 - pace)[:, None]
        means = left * (first + np.cumsum(pace[:, None] * np.nan_to_num(values) / left, axis=0))
        before = np.concatenate([first[None], means[:-1]])
        judged = (numbers > course.memory_rows) & known.any(axis=1)
        deviations = np.where(known & judged[:, None], values - before, 0.0)
        statistic = np.einsum("ij,jk,ik->i", deviations, course.precision, deviations) / len(course.sensor)
        return cls(values, means, deviations, np.where(judged, statistic, np.nan))

    def until_it_changes(self, course: Course, position: Position) -> int:
        """Return how many rows go by until an anomaly begins, or the one that stands ends."""
        if position.stands:
            over = self.statistic < _RELEASE * course.limit
            over[_NEW_COURSE * course.memory_rows - position.standing_rows :] = True
        else:
            over = self.statistic > course.limit
        return int(over.argmax()) if over.any() else len(over)

    def after(self, rows: int, position: Position) -> Position:
        """Return the position after so many rows."""
        if not rows:
            return position
        return Position(
            self.means[rows - 1],
            self.values[rows - 1],
            position.rows + rows,
            position.stands,
            position.standing_rows + rows if position.stands else 0,
        )


def _turned(course: Course, position: Position, values: Floats) -> Position:
    """Return the position after the row in which an anomaly begins or ends."""
    number = position.rows + 1
    if not position.stands:
        pace = float(_pace(course, np.array([number]), stands=True)[0])
        return Position(position.mean + pace * (values - position.mean), values, number, True, 1)
    if position.standing_rows >= _NEW_COURSE * course.memory_rows:
        return Position(values, values, number)
    pace = float(_pace(course, np.array([number]), stands=False)[0])
    return Position(position.mean + pace * (values - position.mean), values, number)


def _pace(course: Course, numbers: npt.NDArray[np.int64], *, stands: bool) -> Floats:
    """Return how much of each row's deviation the mean takes up; it is that of all rows until its memory is full."""
    # one more: the first value is where the mean begins, not all that it will ever be
    pace: Floats = 1 / np.minimum(numbers + 1.0, course.memory_rows + 1.0)
    return pace / _SLOWER if stands else pace


def _first(values: Floats) -> Floats:
    """Return the first value of each column that has one."""
    first: Floats = values[np.isnan(values).argmin(axis=0), np.arange(values.shape[1])]
    return first


def _carried_on(smoothed: Floats, known: npt.NDArray[np.bool_], last: Floats) -> Floats:
    """Return rows in which a missing value is the one before it."""
    if known.all():
        return smoothed
    rows = np.concatenate([last[None], smoothed])
    place = np.maximum.accumulate(np.where(np.isnan(rows), 0, np.arange(len(rows))[:, None]), axis=0)
    carried: Floats = np.take_along_axis(rows, place, axis=0)[1:]
    return carried
