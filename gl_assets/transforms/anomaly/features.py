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
    columns, owners, wandering = [], [], []
    for n, sensor in enumerate(moving):
        column = np.zeros(values.shape[1])
        column[sensor] = 1.0
        if slow[n]:
            factors = _explained_by_others(scaled, n, settings)
            if factors is None:
                wandering.append(sensor)
                continue
            column[moving] -= factors * spread[sensor] / spread[moving]
        columns.append(column)
        owners.append(sensor)
    weights = np.stack(columns, axis=1) if columns else np.zeros((values.shape[1], 0))
    positions = (np.array(found, dtype=np.intp) for found in (owners, wandering, np.flatnonzero(~moves)))
    return Features(center, weights, *positions)


def _explained_by_others(scaled: Floats, own: int, settings: DetectorSettings) -> Floats | None:
    """Return the factors of the other columns, 0 for the own one; None where they do not explain it."""
    others = np.delete(np.arange(scaled.shape[1]), own)
    if not len(others):
        return None
    held_out = np.empty(len(scaled))
    for part in np.array_split(np.arange(len(scaled)), settings.folds):
        rest = np.delete(np.arange(len(scaled)), part)
        factors, shift = _regression(scaled[rest][:, others], scaled[rest, own])
        held_out[part] = scaled[part, own] - scaled[part][:, others] @ factors - shift
    spread = held_out.std()
    if spread**2 > 1 - _EXPLAINED:
        return None
    if spread > 1e-9 and slow_shares(held_out[:, None], settings.blocks)[0] >= settings.slow_share:
        return None
    found = np.zeros(scaled.shape[1])
    found[others] = _regression(scaled[:, others], scaled[:, own])[0]
    return found


def _regression(inputs: Floats, target: Floats) -> tuple[Floats, float]:
    """Return factors and constant of the least-squares line through rows."""
    solved = np.linalg.lstsq(np.column_stack([inputs, np.ones(len(inputs))]), target, rcond=None)[0]
    return solved[:-1].astype(np.float64), float(solved[-1])
