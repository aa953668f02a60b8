"""Training of the multivariate detector: Hotelling's T2 of smoothed, steady features with a limit from held-out rows.

Plain T2 with Q, the usual detector of process monitoring, takes its limit from a distribution of independent rows and
raises false alarms when the plant wanders ever so slightly. Here the sensors that wander are parted from those that do
not (`features`) and judged by their own course (`course`), rows are smoothed before they are compared, and the limit is
what normal rows reach that training has not seen; an anomaly stands until the distance is back at its mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gl_assets.transforms.anomaly.course import learn_course
from gl_assets.transforms.anomaly.features import Floats, choose_features
from gl_assets.transforms.anomaly.model import Model
from gl_assets.transforms.anomaly.settings import DetectorSettings
from gl_assets.transforms.anomaly.statistics import trailing_mean
from resources.core.errors import DataError

_LEAST_VARIANCE = 1e-3
"""Least variance of a smoothed feature, over that of independent rows."""


@dataclass(frozen=True, slots=True)
class Detector:
    """Makes models of one kind."""

    settings: DetectorSettings = field(default_factory=DetectorSettings)

    def fit(self, values: Floats, names: Sequence[str]) -> Model:
        """Return the model of normal operation.

        Args:
            values: Clean rows in order of time x sensors; a row with a missing value (NaN) is left out.
            names: The sensors.

        Raises:
            DataError: Too few complete rows.
        """
        settings = self.settings
        clean = np.asarray(values, dtype=np.float64)
        clean = clean[np.isfinite(clean).all(axis=1)]
        if len(clean) < settings.least_rows:
            raise DataError(
                f"a detector of {', '.join(names)} needs {settings.least_rows} rows in which every sensor has a good "
                f"value: there are {len(clean)} of {len(values)}; train it over a longer span"
            )
        features = choose_features(clean, settings)
        judged = features.of(clean)
        smoothed = _smoothed(judged, settings)
        wandering = _smoothed((clean - features.center)[:, features.wandering], settings)
        # a sensor that stood still in some of the rows is not known any better than this
        least = np.maximum(_LEAST_VARIANCE * judged.var(axis=0) / settings.smoothing_rows, np.finfo(np.float64).tiny)
        mean, precision = _normal(smoothed, settings.shrinkage, least)
        return Model(
            names=tuple(names),
            features=features,
            mean=mean,
            precision=precision,
            limit=_limit(smoothed, settings, least),
            release=1.0,
            course=learn_course(
                wandering,
                features.wandering,
                memory_rows=settings.memory_rows,
                confidence=settings.confidence,
            ),
            smoothing_rows=settings.smoothing_rows,
            trained_rows=len(clean),
        )


def _smoothed(values: Floats, settings: DetectorSettings) -> Floats:
    return trailing_mean(values, settings.smoothing_rows)[0][settings.smoothing_rows - 1 :]


def _normal(smoothed: Floats, shrinkage: float, least: Floats) -> tuple[Floats, Floats]:
    """Return mean and inverse covariance."""
    count = smoothed.shape[1]
    if not count:
        return np.zeros(0), np.zeros((0, 0))
    covariance = np.cov(smoothed, rowvar=False).reshape(count, count)
    spread = np.maximum(np.diag(covariance), least)
    covariance = (1 - shrinkage) * covariance
    np.fill_diagonal(covariance, spread)
    scale = np.sqrt(spread)
    correlation = covariance / np.outer(scale, scale)
    return smoothed.mean(axis=0), np.linalg.inv(correlation) / np.outer(scale, scale)


def _limit(smoothed: Floats, settings: DetectorSettings, least: Floats) -> float:
    """Return the quantile of the statistic over rows that the normal they are compared with was not learnt from."""
    count = smoothed.shape[1]
    if not count:
        return float("inf")
    held_out = []
    for part in np.array_split(np.arange(len(smoothed)), settings.folds):
        # the smoothed rows next to a part share raw rows with it
        near = np.arange(max(part[0] - settings.smoothing_rows, 0), part[-1] + settings.smoothing_rows + 1)
        rest = np.delete(smoothed, near[near < len(smoothed)], axis=0)
        mean, precision = _normal(rest, settings.shrinkage, least)
        deviations = smoothed[part] - mean
        held_out.append(np.einsum("ij,jk,ik->i", deviations, precision, deviations) / count)
    # not below the release, or an anomaly would end before it began
    return max(float(np.quantile(np.concatenate(held_out), settings.confidence)), 1.0)
