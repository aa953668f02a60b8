"""Arithmetic of the multivariate detector on whole arrays: smoothing, distance from normal, when an anomaly stands."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.anomaly.features import Floats


def trailing_mean(features: Floats, rows: int) -> tuple[Floats, Floats]:
    """Return the mean of each row and those before it, `rows` in all, and of how many values each mean is.

    A mean of no value is 0.
    """
    known = ~np.isnan(features)
    values = np.where(known, features, 0.0)
    sums, counts = np.zeros(features.shape), np.zeros(features.shape)
    # row by row of the window, not a running sum: that would carry the rounding of a large value on for ever
    for age in range(min(rows, len(features))):
        sums[age:] += values[: len(values) - age]
        counts[age:] += known[: len(known) - age]
    return sums / np.maximum(counts, 1.0), counts


def distances(deviations: Floats, known: npt.NDArray[np.bool_], precision: Floats) -> tuple[Floats, Floats]:
    """Return the squared distance of each row from normal, per feature, and each feature's share in it.

    The share is the reconstruction-based contribution: by how much the distance would fall if this feature alone
    could take any value. Source: Alcala and Qin, Automatica 45 (2009) 1593-1600.

    Args:
        deviations: Rows x features.
        known: Where there is a deviation; elsewhere it counts as none, and has no share.
        precision: Inverse covariance of the features.
    """
    rows, count = deviations.shape
    if not count:
        return np.full(rows, np.nan), np.zeros((rows, 0))
    deviations = np.where(known, deviations, 0.0)
    pulled = deviations @ precision
    statistic: Floats = np.einsum("ij,ij->i", pulled, deviations) / count
    parts = np.where(known, pulled**2 / np.diag(precision), 0.0)
    total = parts.sum(axis=1, keepdims=True)
    return statistic, np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)


def hysteresis(statistic: Floats, limit: float, release: float, *, stands: bool) -> npt.NDArray[np.bool_]:
    """Return for each row whether an anomaly stands: from above `limit` until below `release`.

    A row that cannot be judged (NaN) leaves things as they are.

    Args:
        statistic: In order of time.
        limit: Where an anomaly begins.
        release: Where it ends.
        stands: Whether one stands before the first row.
    """
    turn = np.where(statistic > limit, 1, np.where(statistic < release, -1, 0))
    turns = np.where(turn != 0, np.arange(len(turn)), -1)
    last = np.maximum.accumulate(turns) if len(turns) else turns
    found: npt.NDArray[np.bool_] = np.where(last >= 0, turn[last] > 0, stands)
    return found
