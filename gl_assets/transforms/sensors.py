"""What the configuration says about each sensor of a window, as columns to index by a reading's sensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.errors import ConfigError
from resources.core.settings import TagConfig
from resources.core.units import conversion

_LARGEST = np.finfo(np.float64).max
"""Limit of a tag without limits: no finite value is beyond it, infinity is."""


@dataclass(frozen=True, slots=True)
class SensorTable:
    """One entry per sensor of a window, in the order of its `sensors`."""

    sensor_ids: tuple[str, ...]
    units: tuple[str, ...]
    """Unit the readings were collected in."""
    calibrated_units: tuple[str, ...]
    """Canonical unit."""
    sources: tuple[str, ...]
    faults: tuple[str | None, ...]
    """Why no reading of this sensor can be stored, as a sentence; None: they can."""
    factor: npt.NDArray[np.float64]
    """Calibrated value = factor * value + offset."""
    offset: npt.NDArray[np.float64]
    minimum: npt.NDArray[np.float64]
    """Least value, in the unit collected in."""
    maximum: npt.NDArray[np.float64]
    """Greatest value, in the unit collected in."""
    has_limits: npt.NDArray[np.bool_]
    position: npt.NDArray[np.int32]
    """The window's sensor_key -> position here; -1 for a key that does not occur."""

    def __len__(self) -> int:
        """Return how many sensors there are."""
        return len(self.sensor_ids)


@dataclass(frozen=True, slots=True)
class _Entry:
    calibrated_unit: str
    fault: str | None = None
    factor: float = 1.0
    offset: float = 0.0
    minimum: float | None = None
    maximum: float | None = None


def sensor_table(sensors: pa.Table, tags: Mapping[str, TagConfig]) -> SensorTable:
    """Return the sensors of a window with what their tags say.

    A tag whose unit was changed since the readings came in still judges them where the old unit can be converted.

    Args:
        sensors: One row per sensor: sensor_key, sensor_id, unit (collected in), source.
        tags: sensor_id -> tag.
    """
    ids, units = sensors.column("sensor_id").to_pylist(), sensors.column("unit").to_pylist()
    entries = [_entry(sensor_id, unit, tags.get(sensor_id)) for sensor_id, unit in zip(ids, units, strict=True)]
    keys = sensors.column("sensor_key").to_numpy()
    position = np.full(int(keys.max()) + 1 if len(keys) else 0, -1, dtype=np.int32)
    position[keys] = np.arange(len(keys), dtype=np.int32)
    return SensorTable(
        sensor_ids=tuple(ids),
        units=tuple(units),
        calibrated_units=tuple(e.calibrated_unit for e in entries),
        sources=tuple(sensors.column("source").to_pylist()),
        faults=tuple(e.fault for e in entries),
        factor=np.array([e.factor for e in entries], dtype=np.float64),
        offset=np.array([e.offset for e in entries], dtype=np.float64),
        minimum=np.array([-_LARGEST if e.minimum is None else e.minimum for e in entries], dtype=np.float64),
        maximum=np.array([_LARGEST if e.maximum is None else e.maximum for e in entries], dtype=np.float64),
        has_limits=np.array([e.minimum is not None or e.maximum is not None for e in entries], dtype=bool),
        position=position,
    )


def _entry(sensor_id: str, unit: str, tag: TagConfig | None) -> _Entry:
    if tag is None:
        return _Entry(unit, f"sensor {sensor_id} is not in the configuration")
    canonical = tag.canonical_unit or tag.unit
    try:
        factor, offset = conversion(unit, canonical)
        low, high = _limits(tag, unit)
    except ConfigError:
        return _Entry(
            unit, f"sensor {sensor_id} was collected in {unit}, which does not convert to {canonical} as configured now"
        )
    return _Entry(canonical, None, factor, offset, low, high)


def _limits(tag: TagConfig, unit: str) -> tuple[float | None, float | None]:
    """Return the tag's limits in `unit`."""
    if unit == tag.unit:
        return tag.minimum, tag.maximum
    factor, offset = conversion(tag.unit, unit)
    found = [None if limit is None else factor * limit + offset for limit in (tag.minimum, tag.maximum)]
    return found[0], found[1]
