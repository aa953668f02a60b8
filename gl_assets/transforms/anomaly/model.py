"""A trained detector: plain data, to JSON and back, and the stream that scores rows with it as they come."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.anomaly.course import Course, Position, follow
from gl_assets.transforms.anomaly.features import Features, Floats
from gl_assets.transforms.anomaly.statistics import distances, hysteresis, trailing_mean
from resources.core.errors import DataError

FORMAT = 2
"""Of the JSON text; a model of another one has to be trained again."""

_LEAST_SHARE = 0.5
"""Least share of features with a value that a row is judged by."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector says of rows."""

    statistic: Floats
    """Squared distance of each row from normal, about 1 in training; NaN: not enough values to judge."""
    limit: float
    """An anomaly begins above it."""
    is_anomalous: npt.NDArray[np.bool_]
    contributions: Floats
    """Rows x sensors: each sensor's share in the deviation, together 1; 0 of a row without any deviation."""


@dataclass(frozen=True, slots=True)
class Model:
    """A detector trained on the rows of one equipment's sensors."""

    names: tuple[str, ...]
    """The sensors, in the order of the columns of what is scored."""
    features: Features
    mean: Floats
    """Of each smoothed feature."""
    precision: Floats
    """Inverse covariance of the smoothed features."""
    limit: float
    """An anomaly begins where the statistic rises above it."""
    release: float
    """An anomaly ends where the statistic falls below it: the mean in normal operation."""
    course: Course
    """Of the sensors that wander by themselves."""
    smoothing_rows: int
    trained_rows: int

    @property
    def left_out(self) -> dict[str, str]:
        """Sensor that is not judged -> why."""
        return {self.names[n]: "constant" for n in self.features.constant.tolist()}

    @property
    def wandering(self) -> list[str]:
        """The sensors that are judged by their own course."""
        return [self.names[n] for n in self.features.wandering.tolist()]

    @property
    def settling_rows(self) -> int:
        """Rows after which a stream that begins anew says what one that has always run says, or nearly."""
        return 2 * self.course.memory_rows

    def score(self, values: Floats) -> Scores:
        """Return what the detector says of rows in order of time, none known before them.

        Args:
            values: Rows x sensors as `names`; NaN: no value.
        """
        return Stream(self).push(values)

    def to_json(self) -> str:
        """Return the model as JSON text: the same scores after `from_json`."""
        plain = {
            "format": FORMAT,
            "names": self.names,
            "center": self.features.center.tolist(),
            "weights": self.features.weights.tolist(),
            "sensor": self.features.sensor.tolist(),
            "wandering": self.features.wandering.tolist(),
            "constant": self.features.constant.tolist(),
            "course_precision": self.course.precision.tolist(),
            "course_limit": _finite(self.course.limit),
            "memory_rows": self.course.memory_rows,
            "mean": self.mean.tolist(),
            "precision": self.precision.tolist(),
            "limit": _finite(self.limit),
            "release": self.release,
            "smoothing_rows": self.smoothing_rows,
            "trained_rows": self.trained_rows,
        }
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> Model:
        """Return the model that was written as JSON.

        Raises:
            DataError: The text is not a model of this format.
        """
        try:
            return cls._from_plain(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"this is not a detector in format {FORMAT} ({type(error).__name__}: {error}): train it again with "
                "`gl anomalies train`"
            ) from error

    @classmethod
    def _from_plain(cls, plain: dict[str, Any]) -> Model:
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']}")
        names, sensor = tuple(plain["names"]), np.array(plain["sensor"], dtype=np.intp)
        features = Features(
            center=np.array(plain["center"], dtype=np.float64),
            weights=np.array(plain["weights"], dtype=np.float64).reshape(len(names), len(sensor)),
            sensor=sensor,
            wandering=np.array(plain["wandering"], dtype=np.intp),
            constant=np.array(plain["constant"], dtype=np.intp),
        )
        course = Course(
            sensor=features.wandering,
            precision=_square(plain["course_precision"], len(features.wandering)),
            limit=_or_infinite(plain["course_limit"]),
            memory_rows=int(plain["memory_rows"]),
        )
        return cls(
            names=names,
            features=features,
            mean=np.array(plain["mean"], dtype=np.float64),
            precision=_square(plain["precision"], len(sensor)),
            limit=_or_infinite(plain["limit"]),
            release=float(plain["release"]),
            course=course,
            smoothing_rows=int(plain["smoothing_rows"]),
            trained_rows=int(plain["trained_rows"]),
        )


class Stream:
    """Scores the rows of one equipment in order of time, in batches of any length, as if all had come at once.

    Its memory is the rows that the trailing mean still needs, where wandering sensors stand, and what stands. It is
    replaced, never changed: a shallow copy of a stream goes its own way from there.
    """

    def __init__(self, model: Model) -> None:
        """Begin with nothing known."""
        self.model = model
        self._recent = np.empty((0, model.features.weights.shape[1] + len(model.features.wandering)))
        self._position = Position.unknown(model.course)
        self._stands = False

    def push(self, values: Floats) -> Scores:
        """Return what the model says of the next rows.

        Args:
            values: Rows x sensors as the model's `names`; NaN: no value.
        """
        model, values = self.model, np.asarray(values, dtype=np.float64)
        wandering = model.features.wandering
        judged = np.concatenate(
            [model.features.of(values), values[:, wandering] - model.features.center[wandering]], axis=1
        )
        rows = np.concatenate([self._recent, judged])
        before, count = len(self._recent), model.features.weights.shape[1]
        smoothed, counts = (part[before:] for part in trailing_mean(rows, model.smoothing_rows))
        self._recent = rows[max(len(rows) - model.smoothing_rows + 1, 0) :]
        steady = self._steady(smoothed[:, :count], counts[:, :count])
        return self._with_course(steady, np.where(counts[:, count:] > 0, smoothed[:, count:], np.nan))

    def _steady(self, smoothed: Floats, counts: Floats) -> Scores:
        """Return what is said of the features."""
        model, known = self.model, counts > 0
        # fewer values make a mean less sure: its deviation counts for less, as of independent values
        deviations = (smoothed - model.mean) * np.sqrt(counts / model.smoothing_rows)
        statistic, shares = distances(deviations, known, model.precision)
        if known.shape[1]:
            statistic[known.mean(axis=1) < _LEAST_SHARE] = np.nan
        standing = hysteresis(statistic, model.limit, model.release, stands=self._stands)
        if len(standing):
            self._stands = bool(standing[-1])
        contributions = np.zeros((len(shares), len(model.names)))
        contributions[:, model.features.sensor] = shares
        return Scores(statistic, model.limit, standing, contributions)

    def _with_course(self, steady: Scores, smoothed: Floats) -> Scores:
        """Return what is said of both: the distance of whichever is further beyond its limit, and what explains it."""
        course = self.model.course
        found = follow(course, smoothed, self._position)
        self._position = found.position
        if not len(course.sensor):
            return steady
        # an infinite limit is that of nothing to judge
        limit = steady.limit if np.isfinite(steady.limit) else 1.0
        scaled = found.statistic / course.limit * limit
        further = ~(scaled <= steady.statistic) & ~np.isnan(scaled)
        shares = distances(found.deviations, np.ones(smoothed.shape, dtype=bool), course.precision)[1]
        contributions = steady.contributions.copy()
        contributions[further] = 0.0
        contributions[np.ix_(further, course.sensor)] = shares[further]
        statistic = np.where(further, scaled, steady.statistic)
        return Scores(statistic, limit, steady.is_anomalous | found.stands, contributions)


def _finite(value: float) -> float | None:
    """Return a number as JSON can hold it: infinity becomes null."""
    return value if np.isfinite(value) else None


def _or_infinite(value: float | None) -> float:
    return float("inf") if value is None else float(value)


def _square(values: list[list[float]], size: int) -> Floats:
    return np.array(values, dtype=np.float64).reshape(size, size)
