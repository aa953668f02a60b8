"""Rows that were judged as what is told of them: one anomaly per stretch of rows, with its explanation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.anomaly.features import Floats
from gl_assets.transforms.anomaly.model import Scores
from gl_assets.transforms.anomaly.trained import Trained
from gl_assets.transforms.anomaly.univariate import LEVEL_ROWS, Deviations, deviations, level_changes, outliers
from resources.core.clock import from_micros

Kind = Literal["multivariate", "outlier", "level_change"]

_TOLD = 5
"""Most sensors that an explanation names."""

_LEAST_TOLD = 0.01
"""Least share in the deviation that an explanation names."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One stretch of anomalous rows, told at its beginning."""

    kind: Kind
    time_us: int
    """Beginning of its first row; of a change of level the row in which it became certain."""
    until_us: int
    """End of its last row."""
    sensor_id: str
    """The sensor it is of; of several together the one that contributes most."""
    value: float | None
    expected: float | None
    score: float
    """Greatest distance from normal over the limit: 1 is the limit itself."""
    details: dict[str, Any] = field(default_factory=dict)
    """What explains it; plain values."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What both detectors say of rows."""

    times_us: npt.NDArray[np.int64]
    values: Floats
    scores: Scores
    deviations: Deviations
    is_outlier: npt.NDArray[np.bool_]
    """Rows x sensors."""
    level_changed: npt.NDArray[np.bool_]
    """Rows x sensors: the row in which a lasting change of level became certain."""


def judge_rows(trained: Trained, times_us: npt.NDArray[np.int64], values: Floats, *, from_us: int) -> Judged:
    """Return what the detectors say of the rows from an instant on; those before it are only looked back on.

    Args:
        trained: The detectors.
        times_us: Beginning of each row, in order; best `trained.lead_rows` of them before `from_us`.
        values: Rows x sensors as `trained.names`, missing values held; NaN: no value.
        from_us: First instant to judge.
    """
    scores = trained.multivariate.score(values)
    found = deviations(values, trained.limits.resolution)
    own = slice(int(np.searchsorted(times_us, from_us)), None)
    return Judged(
        times_us[own],
        values[own],
        Scores(scores.statistic[own], scores.limit, scores.is_anomalous[own], scores.contributions[own]),
        Deviations(
            found.outlier[own], found.expected[own], found.level[own], found.level_before[own], found.level_after[own]
        ),
        # of all rows: what a row is can depend on the one before it
        outliers(found, trained.limits)[own],
        level_changes(found, trained.limits)[own],
    )


def anomalies(trained: Trained, judged: Judged) -> list[Anomaly]:
    """Return what is told of the rows, in the order of time and kind."""
    found = [
        *_multivariate(trained, judged),
        *_outliers(trained, judged),
        *_level_changes(trained, judged),
    ]
    return sorted(found, key=lambda anomaly: (anomaly.time_us, anomaly.kind, anomaly.sensor_id))


def stretches(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open ranges of positions in which every flag is set."""
    edges = np.diff(np.concatenate([[0], flags.view(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


def _multivariate(trained: Trained, judged: Judged) -> list[Anomaly]:
    found, scores, model = [], judged.scores, trained.multivariate
    for begin, end in stretches(scores.is_anomalous):
        statistic = scores.statistic[begin:end]
        # a stretch that came over from before may hold no row that could be judged
        peak = begin + (int(np.nanargmax(statistic)) if np.isfinite(statistic).any() else 0)
        shares = _mean_shares(scores.contributions[begin:end], statistic)
        first = int(np.argmax(shares))
        found.append(
            Anomaly(
                "multivariate",
                int(judged.times_us[begin]),
                int(judged.times_us[end - 1]) + trained.step_us,
                trained.names[first],
                _number(judged.values[peak, first]),
                _number(model.features.center[first]),
                _number(scores.statistic[peak] / scores.limit) or 0.0,
                {
                    "rows": end - begin,
                    "statistic": _number(scores.statistic[peak]),
                    "limit": scores.limit,
                    "contributions": _told(trained.names, shares),
                },
            )
        )
    return found


def _outliers(trained: Trained, judged: Judged) -> list[Anomaly]:
    flags, limits, found = judged.is_outlier, trained.limits.outlier, []
    for sensor in np.flatnonzero(flags.any(axis=0)).tolist():
        for begin, end in stretches(np.ascontiguousarray(flags[:, sensor])):
            peak = begin + int(np.argmax(judged.deviations.outlier[begin:end, sensor]))
            distance = float(judged.deviations.outlier[peak, sensor])
            found.append(
                Anomaly(
                    "outlier",
                    int(judged.times_us[begin]),
                    int(judged.times_us[end - 1]) + trained.step_us,
                    trained.names[sensor],
                    _number(judged.values[peak, sensor]),
                    _number(judged.deviations.expected[peak, sensor]),
                    distance / float(limits[sensor]),
                    {"rows": end - begin, "deviations": distance, "limit": float(limits[sensor])},
                )
            )
    return found


def _level_changes(trained: Trained, judged: Judged) -> list[Anomaly]:
    limits, found = trained.limits.level, []
    for row, sensor in np.argwhere(judged.level_changed).tolist():
        distance = float(judged.deviations.level[row, sensor])
        changed_us = int(judged.times_us[row]) - (LEVEL_ROWS - 1) * trained.step_us
        found.append(
            Anomaly(
                "level_change",
                int(judged.times_us[row]),
                int(judged.times_us[row]) + trained.step_us,
                trained.names[sensor],
                _number(judged.deviations.level_after[row, sensor]),
                _number(judged.deviations.level_before[row, sensor]),
                distance / float(limits[sensor]),
                {
                    "changed_at": from_micros(changed_us).isoformat(),
                    "deviations": distance,
                    "limit": float(limits[sensor]),
                },
            )
        )
    return found


def _mean_shares(contributions: Floats, statistic: Floats) -> Floats:
    """Return each sensor's share in a stretch, rows weighed by their distance."""
    weights = np.nan_to_num(statistic)
    total = weights.sum()
    shares: Floats = weights @ contributions / total if total > 0 else contributions.mean(axis=0)
    return shares


def _told(names: Sequence[str], shares: Floats) -> dict[str, float]:
    order = np.argsort(-shares)[:_TOLD]
    return {names[n]: round(float(shares[n]), 4) for n in order.tolist() if shares[n] >= _LEAST_TOLD}


def _number(value: np.floating[Any] | float) -> float | None:
    return float(value) if np.isfinite(value) else None
