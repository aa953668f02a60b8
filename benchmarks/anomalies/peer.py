"""The peer of `gl bench anomalies`: plain PCA with Hotelling's T2 and Q, as process monitoring knows it.

Source: Jackson and Mudholkar, Technometrics 21 (1979) 341-349, for the limit of Q; T2 with its F distribution.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats  # type: ignore[import-untyped]

Floats = npt.NDArray[np.float64]

VARIANCE = 0.9
"""Share of the variance that the components kept explain."""

CONFIDENCE = 0.99
"""Of either limit; 0.95 and 0.999 do worse on these recordings."""


def is_anomalous(training: Floats, values: Floats, *, confidence: float = CONFIDENCE) -> npt.NDArray[np.bool_]:
    """Return which rows lie above the limit of T2 or of Q.

    Args:
        training: Rows x columns the components are computed from.
        values: Rows to judge.
        confidence: Of either limit.
    """
    mean, spread = training.mean(axis=0), training.std(axis=0) + 1e-12
    scaled = (training - mean) / spread
    singular, axes = np.linalg.svd(scaled, full_matrices=False)[1:]
    rows = len(training)
    variances = singular**2 / (rows - 1)
    kept = int(np.searchsorted(np.cumsum(variances) / variances.sum(), VARIANCE) + 1)
    judged = (values - mean) / spread
    scores = judged @ axes[:kept].T
    t2 = (scores**2 / variances[:kept]).sum(axis=1)
    q = ((judged - scores @ axes[:kept]) ** 2).sum(axis=1)
    found: npt.NDArray[np.bool_] = (t2 > _t2_limit(kept, rows, confidence)) | (
        q > _q_limit(variances[kept:], confidence)
    )
    return found


def _t2_limit(kept: int, rows: int, confidence: float) -> float:
    factor = kept * (rows - 1) * (rows + 1) / (rows * (rows - kept))
    return float(factor * stats.f.ppf(confidence, kept, rows - kept))


def _q_limit(left: Floats, confidence: float) -> float:
    first, second, third = ((left**power).sum() for power in (1, 2, 3))
    exponent = 1 - 2 * first * third / (3 * second**2)
    normal = stats.norm.ppf(confidence)
    bracket = normal * np.sqrt(2 * second * exponent**2) / first + 1 + second * exponent * (exponent - 1) / first**2
    return float(first * bracket ** (1 / exponent))
