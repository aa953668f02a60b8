"""From readings as they arrive to calibrated values of the sensors that detectors watch; all sensors at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gl_assets.transforms.calibration import Calibrations
from resources.core.physics.units import conversion
from resources.core.readings import Status
from resources.integrations import Integrations

_LARGEST = np.finfo(np.float64).max


@dataclass(frozen=True, slots=True)
class Values:
    """Good values of watched sensors, in no particular order; aligned arrays."""

    sensor: npt.NDArray[np.int64]
    """Position among the watched sensors."""
    time_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    """Calibrated, in the canonical unit: what is stored as calibrated_value."""


class WatchedColumns:
    """What the configuration says of every watched sensor, to index by a reading's sensor."""

    def __init__(self, config: Integrations) -> None:
        """Take the sensors of all watched equipment."""
        tags, catalog, book = config.tags(), config.catalog(), config.calibration_book
        self.equipment = config.anomalies.equipment(tags.values())
        """Equipment -> sensor -> canonical unit."""
        self.sensors = tuple(sensor for sensors in self.equipment.values() for sensor in sensors)
        """Position -> sensor."""
        self._position = np.full(len(catalog.sensors), -1, dtype=np.int64)
        for position, sensor_id in enumerate(self.sensors):
            key = catalog.get(sensor_id)
            assert key is not None  # a tag of the same configuration
            self._position[key] = position
        watched = [tags[sensor_id] for sensor_id in self.sensors]
        terms = [conversion(tag.unit, tag.canonical_unit or tag.unit, book.atmosphere_kpa) for tag in watched]
        self._factor = np.array([factor for factor, _ in terms])
        self._offset = np.array([offset for _, offset in terms])
        self._least = np.array([-_LARGEST if tag.minimum is None else tag.minimum for tag in watched])
        self._most = np.array([_LARGEST if tag.maximum is None else tag.maximum for tag in watched])
        self._calibrations = Calibrations.of(self.sensors, [tag.unit for tag in watched], book)

    def of(self, batches: Sequence[pa.RecordBatch]) -> Values:
        """Return what of these readings is stored as good: finite, within the tag's limits, status good."""
        keys = np.concatenate([batch.column("sensor_key").to_numpy() for batch in batches])
        times = np.concatenate([batch.column("time").view(pa.int64()).to_numpy() for batch in batches])
        values = np.concatenate([batch.column("value").to_numpy(zero_copy_only=False) for batch in batches])
        good = np.concatenate([batch.column("status").to_numpy() for batch in batches]) == Status.GOOD
        sensor = self._position[keys]
        # a comparison with NaN is false
        good &= (sensor >= 0) & (values >= self._least[sensor]) & (values <= self._most[sensor])
        sensor, times, values = sensor[good], times[good], values[good]
        calibrated = self._calibrations.apply(sensor.astype(np.int32), times, values)
        return Values(sensor, times, calibrated * self._factor[sensor] + self._offset[sensor])
