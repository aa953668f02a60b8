"""What of each sensor is judged: itself, its deviation from the others, its own course, or nothing.

A sensor that is steady in training is judged by itself. One that wanders (its variance lies between blocks of rows, not
within) is judged by its deviation from what the other sensors make expect, where they explain it in rows held out; a
load-driven plant consists of such sensors. Either way a feature is a linear combination of the sensors, so that all
features are one matrix product. One that wanders by itself is judged by its own course (`course`); of one that never
changed nothing can be said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.anomaly.settings import DetectorSettings

Floats = npt.NDArray[np.float64]

_EXPLAINED = 0.5
"""Least share of its variance that the others must explain of a wandering sensor, in rows held out."""

_RIDGE = 1e-4
"""Added to each variance of 1: of sensors that move exactly alike no factor grows beyond all bounds."""


@dataclass(frozen=True, slots=True)
class Features:
    """The linear map from sensors to features: feature = (values - center) @ weights."""

    center: Floats
    """Mean of each sensor in training."""
    weights: Floats
    """Sensors x features."""
    sensor: npt.NDArray[np.intp]
    """Position of the sensor that each feature stands for."""
    wandering: npt.NDArray[np.intp]
    """Positions of the sensors that wander by themselves."""
    constant: npt.NDArray[np.intp]
    """Positions of the sensors that never changed."""

    def of(self, values: Floats) -> Floats:
        """Return the features of rows; NaN where a sensor that a feature needs is missing."""
        deviations = values - self.center
        missing = np.isnan(deviations)
        features: Floats = np.where(missing, 0.0, deviations) @ self.weights
        if missing.any():
            features[missing.astype(np.float64) @ (self.weights != 0) > 0] = np.nan
        return features


def slow_shares(values: Floats, blocks: int) -> Floats:
    """Return for each column the share of its variance that lies between blocks of rows: 0 noise, 1 drift.

    Args:
        values: Rows in order of time, at least two per block; no column constant.
        blocks: Number of blocks.
    """
    length = len(values) // blocks
    means = values[: blocks * length].reshape(blocks, length, -1).mean(axis=1)
    shares: Floats = means.var(axis=0, ddof=1) / values.var(axis=0, ddof=1)
    return shares


def choose_features(values: Floats, settings: DetectorSettings) -> Features:
    """Return what is judged of each sensor, learnt from clean rows without gaps in their values.

    Args:
        values: Rows in order of time x sensors.
        settings: The detector's.
    """
    center = values.mean(axis=0)
    spread = values.std(axis=0)
    # 1e-9 of the level is what is left of a constant by rounding
    moves = spread > 1e-9 * np.maximum(np.abs(center), 1e-9)
    moving = np.flatnonzero(moves)
    scaled = (values[:, moving] - center[moving]) / spread[moving]
    slow = slow_shares(scaled, settings.blocks) >= settings.slow_share
    explained = _explained(scaled, settings) if slow.any() else slow
    factors = _factors(scaled)
    columns, owners, wandering = [], [], []
    for n, sensor in enumerate(moving):
        if slow[n] and not explained[n]:
            wandering.append(sensor)
            continue
        column = np.zeros(values.shape[1])
        column[sensor] = 1.0
        if slow[n]:
            column[moving] -= factors[:, n] * spread[sensor] / spread[moving]
        columns.append(column)
        owners.append(sensor)
    weights = np.stack(columns, axis=1) if columns else np.zeros((values.shape[1], 0))
    positions = (np.array(found, dtype=np.intp) for found in (owners, wandering, np.flatnonzero(~moves)))
    return Features(center, weights, *positions)


def _explained(scaled: Floats, settings: DetectorSettings) -> npt.NDArray[np.bool_]:
    """Return which columns the others explain in rows held out, so that what is left does not wander."""
    held_out = np.empty(scaled.shape)
    for part in np.array_split(np.arange(len(scaled)), settings.folds):
        rest = np.delete(scaled, part, axis=0)
        deviations = scaled[part] - rest.mean(axis=0)
        held_out[part] = deviations - deviations @ _factors(rest)
    spread = held_out.std(axis=0)
    found: npt.NDArray[np.bool_] = spread**2 <= 1 - _EXPLAINED
    # of what is only rounding it makes no difference how it lies
    told = found & (spread > 1e-9)
    if told.any():
        found[told] = slow_shares(held_out[:, told], settings.blocks) < settings.slow_share
    return found


def _factors(scaled: Floats) -> Floats:
    """Return what each column (of the result) takes of every other in its regression on all of them."""
    count = scaled.shape[1]
    if count < 2:
        return np.zeros((count, count))
    # all regressions lie in one inverse: the factors of a column are its own, over the diagonal, with the sign turned
    precision = np.linalg.inv(np.cov(scaled, rowvar=False) + _RIDGE * np.eye(count))
    factors: Floats = -precision / np.diag(precision)
    np.fill_diagonal(factors, 0.0)
    return factors
