"""What validation finds: one bit mask per reading, and with it which readings cannot be stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.pipeline.columns import Columns, Positions
from gl_assets.transforms.sensors import SensorTable
from resources.core.rules import BIT, Rule

Broken = npt.NDArray[np.int16]
"""Bits of the rules that each reading breaks; 0: none."""


def none_broken(columns: Columns) -> Broken:
    """Return a mask without findings."""
    return np.zeros(len(columns), dtype=np.int16)


def add(broken: Broken, rule: Rule, rows: npt.NDArray[Any], columns: Columns, sensors: SensorTable) -> None:
    """Note in `broken` that these rows (positions or mask) break a rule, where their sensor is held against it."""
    bit = np.int16(BIT[rule])
    broken[rows] |= sensors.active[columns.sensor[rows]] & bit


def rejected(broken: Broken, columns: Columns, sensors: SensorTable) -> Positions:
    """Return the ascending positions of the readings that break a rule that rejects."""
    suspects = np.flatnonzero(broken)
    found: Positions = suspects[(broken[suspects] & sensors.rejecting[columns.sensor[suspects]]) != 0]
    return found
