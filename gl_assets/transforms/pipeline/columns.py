"""Normalise: a window's readings as columns of one length, sensors as positions, times as UTC microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gl_assets.transforms.sensors import SensorTable
from resources.core.readings import TIMESTAMP

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings as columns of one length, in the order of the window: by sensor, then time."""

    sensor: npt.NDArray[np.int32]
    """Position in the sensor table."""
    time_us: npt.NDArray[np.int64]
    received_us: npt.NDArray[np.int64]
    sequence: npt.NDArray[np.int64]
    status: npt.NDArray[np.uint8]
    value: npt.NDArray[np.float64]
    """In the unit collected in; NaN: no value."""
    calibrated_value: npt.NDArray[np.float64]
    """In the canonical unit; NaN: no value."""

    def __len__(self) -> int:
        """Return how many readings there are."""
        return len(self.time_us)

    def take(self, rows: npt.NDArray[Any]) -> Columns:
        """Return the rows at these positions, or under this mask."""
        value = self.value[rows]
        return Columns(
            self.sensor[rows],
            self.time_us[rows],
            self.received_us[rows],
            self.sequence[rows],
            self.status[rows],
            value,
            # until something is calibrated or converted both are one array
            value if self.calibrated_value is self.value else self.calibrated_value[rows],
        )

    def without(self, rows: Positions) -> Columns:
        """Return all rows but those at these ascending positions."""
        if not len(rows):
            return self
        keep = np.ones(len(self), dtype=bool)
        keep[rows] = False
        return self.take(keep)


def normalise(readings: pa.Table, sensors: SensorTable) -> tuple[Columns, Mask]:
    """Return readings as columns, by sensor and time, and which came without a value; nothing is converted yet.

    Times come in any Arrow timestamp and leave as UTC microseconds; sensor keys become positions; a missing value
    becomes NaN. Readings that lack something else have been taken out before (`incomplete`).

    Args:
        readings: time, sensor_key, value, status, received_at, sequence.
        sensors: The window's sensors.
    """
    value = _numpy(readings, "value").astype(np.float64, copy=False)
    columns = Columns(
        sensor=sensors.position[_numpy(readings, "sensor_key")],
        time_us=_numpy(readings, "time", TIMESTAMP).view(np.int64),
        received_us=_numpy(readings, "received_at", TIMESTAMP).view(np.int64),
        sequence=_numpy(readings, "sequence"),
        status=_numpy(readings, "status"),
        value=value,
        calibrated_value=value,
    )
    null = _nulls(readings.column("value"))
    if _in_order(columns):
        return columns, null
    order = np.lexsort((columns.time_us, columns.sensor))
    return columns.take(order), null[order]


def _nulls(column: pa.ChunkedArray) -> Mask:
    if not column.null_count:
        return np.zeros(len(column), dtype=bool)
    found: Mask = column.is_null().to_numpy()
    return found


def _in_order(columns: Columns) -> bool:
    sensor, time = columns.sensor, columns.time_us
    same = sensor[1:] == sensor[:-1]
    later = time[1:] >= time[:-1]
    return bool((later | ~same).all()) and bool((sensor[1:] >= sensor[:-1]).all())


def _numpy(readings: pa.Table, name: str, kind: pa.DataType | None = None) -> npt.NDArray[Any]:
    column = readings.column(name)
    if kind is not None and column.type != kind:
        column = column.cast(kind)
    if kind == TIMESTAMP:
        column = column.cast(pa.int64())
    found: npt.NDArray[Any] = column.to_numpy()
    return found
