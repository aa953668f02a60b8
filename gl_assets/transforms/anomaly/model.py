"""A trained detector: plain data, to JSON and back, and the stream that scores rows with it as they come."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.anomaly.features import Features, Floats
from gl_assets.transforms.anomaly.statistics import distances, hysteresis, trailing_mean
from resources.core.errors import DataError

FORMAT = 1
"""Of the JSON text; a model of another one has to be trained again."""

_LEAST_SHARE = 0.5
"""Least share of features with a value that a row is judged by."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector says of rows."""

    statistic: Floats
    """Squared distance of each row from normal, 1 on average in training; NaN: not enough values to judge."""
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
    smoothing_rows: int
    trained_rows: int

    @property
    def left_out(self) -> dict[str, str]:
        """Sensor that is not judged -> why: it is constant, or wanders by itself."""
        return {self.names[n]: reason for n, reason in sorted(self.features.left_out.items())}

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
            "left_out": {str(n): reason for n, reason in self.features.left_out.items()},
            "mean": self.mean.tolist(),
            "precision": self.precision.tolist(),
            "limit": self.limit if np.isfinite(self.limit) else None,  # JSON knows no infinity
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
            left_out={int(n): reason for n, reason in plain["left_out"].items()},
        )
        return cls(
            names=names,
            features=features,
            mean=np.array(plain["mean"], dtype=np.float64),
            precision=np.array(plain["precision"], dtype=np.float64),
            limit=float("inf") if plain["limit"] is None else float(plain["limit"]),
            release=float(plain["release"]),
            smoothing_rows=int(plain["smoothing_rows"]),
            trained_rows=int(plain["trained_rows"]),
        )


class Stream:
    """Scores the rows of one equipment in order of time, in batches of any length, as if all had come at once.

    Its memory is the rows that the trailing mean still needs, and whether an anomaly stands.
    """

    def __init__(self, model: Model) -> None:
        """Begin with nothing known."""
        self.model = model
        self._recent = np.empty((0, model.features.weights.shape[1]))
        self._stands = False

    def push(self, values: Floats) -> Scores:
        """Return what the model says of the next rows.

        Args:
            values: Rows x sensors as the model's `names`; NaN: no value.
        """
        model = self.model
        features = np.concatenate([self._recent, model.features.of(np.asarray(values, dtype=np.float64))])
        before = len(self._recent)
        smoothed, counts = trailing_mean(features, model.smoothing_rows)
        self._recent = features[max(len(features) - model.smoothing_rows + 1, 0) :]
        # fewer values make a mean less sure: its deviation counts for less, as of independent values
        deviations = (smoothed[before:] - model.mean) * np.sqrt(counts[before:] / model.smoothing_rows)
        known = counts[before:] > 0
        statistic, shares = distances(deviations, known, model.precision)
        contributions = np.zeros((len(shares), len(model.names)))
        contributions[:, model.features.sensor] = shares
        if known.shape[1]:
            statistic[known.mean(axis=1) < _LEAST_SHARE] = np.nan
        standing = hysteresis(statistic, model.limit, model.release, stands=self._stands)
        if len(standing):
            self._stands = bool(standing[-1])
        return Scores(statistic, model.limit, standing, contributions)
