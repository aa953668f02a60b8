"""Recordings of made-up equipment: noise, a load that drives several sensors, and faults planted into them."""

from __future__ import annotations

import numpy as np

from gl_assets.transforms.anomaly.features import Floats

NAMES = ("flow", "pressure", "current", "vibration")


def steady(rows: int = 600, *, seed: int = 1, sensors: int = len(NAMES)) -> Floats:
    """Return rows of sensors that are noise about different levels; the first two move alike."""
    noise = np.random.default_rng(seed).normal(size=(rows, sensors))
    noise[:, 1] = 0.8 * noise[:, 0] + 0.6 * noise[:, 1]
    return noise * np.linspace(1.0, 5.0, sensors) + np.linspace(100.0, 10.0, sensors)


def load_driven(rows: int = 1_000, *, seed: int = 2) -> Floats:
    """Return rows of three sensors that follow one wandering load, and one that wanders by itself."""
    source = np.random.default_rng(seed)
    load, own = (np.cumsum(source.normal(size=rows)) for _ in range(2))
    return np.column_stack([2 * load, -load, 0.5 * load, own]) + 0.1 * source.normal(size=(rows, 4))
