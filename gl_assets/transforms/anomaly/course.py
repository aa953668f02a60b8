"""Sensors that wander by themselves, judged by how suddenly they leave their own course.

Where such a sensor stands says nothing, but how fast it got there does. Each is compared with a mean of its recent past
that follows it, slower than an anomaly begins; while one stands the mean follows ten times slower still, so that the
anomaly lasts. It ends when the sensor is back, or has been away for so long that it has a new course.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.anomaly.features import Floats

MARGIN = 4.0
"""What the quantile of training is multiplied with: drift has no distribution that training could have shown."""

_SLOWER = 10.0
"""How much slower the mean follows while an anomaly stands."""

_NEW_COURSE = 4
"""Memories of the mean after which a sensor that has left its course has a new one."""

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


@dataclass(slots=True)
class Position:
    """Where the following mean stands, and whether an anomaly does."""

    mean: Floats
    """NaN: the sensor has not had a value yet."""
    rows: int = 0
    stands: bool = False
    standing_rows: int = 0

    @classmethod
    def unknown(cls, course: Course) -> Position:
        """Return the position before the first row."""
        return cls(np.full(len(course.sensor), np.nan))


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
    spread = np.maximum(np.diag(covariance), np.finfo(np.float64).tiny)
    # 0.9: as the steady sensors, so that two that wander alike do not become certainty
    correlation = 0.9 * covariance / np.sqrt(np.outer(spread, spread))
    np.fill_diagonal(correlation, 1.0)
    precision = np.linalg.inv(correlation) / np.sqrt(np.outer(spread, spread))
    statistic = np.einsum("ij,jk,ik->i", residuals, precision, residuals) / count
    return Course(sensor, precision, MARGIN * max(float(np.quantile(statistic, confidence)), 1.0), memory_rows)


def follow(course: Course, smoothed: Floats, position: Position) -> Followed:
    """Return how far rows leave their course, and where the mean stands after them.

    Row by row, since whether an anomaly stands decides how the mean goes on; rows are steps of an equipment, not
    readings, and there are a hundred in a window.

    Args:
        course: What is normal.
        smoothed: Rows x wandering sensors; NaN: no value.
        position: Where the mean stands before them; left as it is.
    """
    position = replace(position, mean=position.mean.copy())
    rows = len(smoothed)
    statistic, stands = np.full(rows, np.nan), np.zeros(rows, dtype=bool)
    deviations = np.zeros(smoothed.shape)
    if not len(course.sensor):
        return Followed(statistic, stands, deviations, position)
    known = ~np.isnan(smoothed)
    for n in range(rows):
        own = known[n]
        position.mean = np.where(np.isnan(position.mean), smoothed[n], position.mean)
        deviation = np.where(own, smoothed[n] - position.mean, 0.0)
        position.rows += 1
        if position.rows > course.memory_rows and own.any():
            distance = float(deviation @ course.precision @ deviation) / len(course.sensor)
            statistic[n], deviations[n] = distance, deviation
            position.stands = distance > course.limit or (position.stands and distance >= _RELEASE * course.limit)
        stands[n] = position.stands
        position.standing_rows = position.standing_rows + 1 if position.stands else 0
        if position.standing_rows >= _NEW_COURSE * course.memory_rows:
            position.mean = np.where(own, smoothed[n], position.mean)
            position.stands, position.standing_rows = False, 0
            continue
        pace = 1 / min(position.rows, course.memory_rows) / (_SLOWER if position.stands else 1.0)
        position.mean += pace * np.where(own, deviation if position.rows > 1 else 0.0, 0.0)
    return Followed(statistic, stands, deviations, position)
