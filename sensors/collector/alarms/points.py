"""The rules as arrays: one watch point for each rule and sensor, so that a batch is judged without a loop over rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from resources.agents.alarms import AlarmRule, watched_sensors
from resources.core.tags import SensorCatalog

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WatchPoints:
    """Watch points in the order of their sensors; those of sensor k are `first[k]` to `first[k] + count[k]`.

    A rule with `below` is turned round by `sign`, so that every alarm is on the upper side of its limit.
    """

    rules: tuple[str, ...]
    """Rule of each point."""
    sensor_keys: Ints
    """Sensor of each point."""
    sign: Floats
    """1 above, -1 below."""
    limits: Floats
    """Raised above this, after `sign`."""
    clears: Floats
    """Over at or below this, after `sign`."""
    durations_us: Ints
    """How long a value has to be beyond the limit."""
    first: Ints
    """By sensor."""
    count: Ints
    """By sensor."""
    upper: Floats
    """By sensor: its lowest limit of `above`."""
    lower: Floats
    """By sensor: its highest limit of `below`."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.rules)

    def of_rows(self, keys: Ints) -> tuple[Ints, Ints]:
        """Return (row, point) for every pair of a row of sensor `keys[row]` and a point of that sensor."""
        counts = self.count[keys]
        rows = np.repeat(np.arange(keys.size), counts)
        begins = np.repeat(np.cumsum(counts) - counts, counts)
        return rows, self.first[keys[rows]] + np.arange(rows.size) - begins


def watch_points(rules: Mapping[str, AlarmRule], catalog: SensorCatalog) -> WatchPoints:
    """Return the points of all rules.

    Raises:
        ConfigError: A rule watches nothing.
    """
    pairs = sorted(
        ((key, name) for name, rule in rules.items() for key in watched_sensors(rule, catalog)),
        key=lambda pair: pair[0],
    )
    of_points = [rules[name] for _, name in pairs]
    keys = np.array([key for key, _ in pairs], dtype=np.int64)
    sign = np.array([1.0 if rule.above is not None else -1.0 for rule in of_points])
    limits = sign * np.array([rule.threshold for rule in of_points])
    above = sign > 0
    upper, lower = np.full(len(catalog), np.inf), np.full(len(catalog), -np.inf)
    np.minimum.at(upper, keys[above], limits[above])
    np.maximum.at(lower, keys[~above], -limits[~above])
    count = np.bincount(keys, minlength=len(catalog)).astype(np.int64)
    return WatchPoints(
        rules=tuple(name for _, name in pairs),
        sensor_keys=keys,
        sign=sign,
        limits=limits,
        clears=limits - np.array([rule.hysteresis for rule in of_points]),
        durations_us=np.array([rule.duration // timedelta(microseconds=1) for rule in of_points], dtype=np.int64),
        first=np.cumsum(count) - count,
        count=count,
        upper=upper,
        lower=lower,
    )
