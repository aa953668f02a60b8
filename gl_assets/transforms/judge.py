"""Which readings of a window can be stored, with calibrated value and score, and which cannot, with the reason.

Rules: no value, or NaN, is stored as "no value" where the status is bad and rejected otherwise; infinity is rejected;
a value beyond the tag's limits is rejected; so is a reading of a sensor that is not configured, or whose unit cannot be
converted any more. Everything works on whole columns; only rejected rows are looked at one by one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gl_assets.transforms.quality import quality_scores
from gl_assets.transforms.sensors import SensorTable
from resources.core.clock import from_micros
from resources.core.readings import STATUS_NAMES, TIMESTAMP, Status

REJECTED_SCHEMA = pa.schema(
    [
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("time", TIMESTAMP),
        pa.field("sensor_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
    ]
)
"""Rejected rows: `raw` is JSON text of the original, `reasons` are sentences a person understands."""


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
        return Columns(
            self.sensor[rows],
            self.time_us[rows],
            self.received_us[rows],
            self.sequence[rows],
            self.status[rows],
            self.value[rows],
            self.calibrated_value[rows],
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """The readings of a window, parted."""

    good: Columns
    """What can be stored."""
    quality_score: npt.NDArray[np.float32]
    """Of each row of `good`."""
    rejected: pa.Table
    """REJECTED_SCHEMA."""


def judge(readings: pa.Table, sensors: SensorTable) -> Judged:
    """Return the readings of a window, calibrated, scored and parted into what can be stored and what cannot.

    Args:
        readings: One row per (sensor_key, time), ascending: time, sensor_key, value, status, received_at, sequence.
        sensors: The window's sensors.
    """
    columns = _calibrated(readings, sensors)
    rejected = _to_reject(columns, sensors)
    good = columns
    if len(rejected):
        keep = np.ones(len(columns), dtype=bool)
        keep[rejected] = False
        good = columns.take(keep)
    scores = quality_scores(good.status, sensors.has_limits[good.sensor], good.received_us - good.time_us)
    return Judged(good, scores, _rejected_rows(readings, columns, rejected, sensors))


def _numpy(readings: pa.Table, name: str, kind: pa.DataType | None = None) -> npt.NDArray[Any]:
    column = readings.column(name)
    found: npt.NDArray[Any] = (column if kind is None else column.cast(kind)).to_numpy()
    return found


def _calibrated(readings: pa.Table, sensors: SensorTable) -> Columns:
    sensor = sensors.position[_numpy(readings, "sensor_key")]
    value = _numpy(readings, "value").astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        # an overflow ends as infinity, which is rejected
        calibrated = value * sensors.factor[sensor]
        calibrated += sensors.offset[sensor]
    return Columns(
        sensor=sensor,
        time_us=_numpy(readings, "time", pa.int64()),
        received_us=_numpy(readings, "received_at", pa.int64()),
        sequence=_numpy(readings, "sequence"),
        status=_numpy(readings, "status"),
        value=value,
        calibrated_value=calibrated,
    )


def _to_reject(columns: Columns, sensors: SensorTable) -> npt.NDArray[np.intp]:
    """Return the positions of rows that cannot be stored."""
    fits = columns.value >= sensors.minimum[columns.sensor]
    fits &= columns.value <= sensors.maximum[columns.sensor]
    fits &= np.isfinite(columns.calibrated_value)
    faulty = np.array([fault is not None for fault in sensors.faults], dtype=bool)
    if faulty.any():
        fits &= ~faulty[columns.sensor]
    suspects = np.flatnonzero(~fits)
    missing = np.isnan(columns.value[suspects]) & (columns.status[suspects] == Status.BAD)
    if faulty.any():
        missing &= ~faulty[columns.sensor[suspects]]
    rejected: npt.NDArray[np.intp] = suspects[~missing]
    return rejected


def _rejected_rows(
    readings: pa.Table, columns: Columns, rejected: npt.NDArray[np.intp], sensors: SensorTable
) -> pa.Table:
    rows = columns.take(rejected)
    # null and NaN are one in NumPy; the reason tells them apart
    is_null = readings.column("value").take(pa.array(rejected)).is_null().to_numpy()
    found = []
    for n in range(len(rows)):
        sensor, value = int(rows.sensor[n]), None if is_null[n] else float(rows.value[n])
        time, status = from_micros(int(rows.time_us[n])), STATUS_NAMES[rows.status[n]]
        found.append(
            {
                "sequence": int(rows.sequence[n]),
                "time": time,
                "sensor_id": sensors.sensor_ids[sensor],
                "source": sensors.sources[sensor],
                "raw": _original(sensors, sensor, time.isoformat(), value, status),
                "reasons": [_reason(sensors, sensor, value, status)],
            }
        )
    return pa.Table.from_pylist(found, schema=REJECTED_SCHEMA)


def _original(sensors: SensorTable, sensor: int, time: str, value: float | None, status: str) -> str:
    # JSON has no NaN and no infinity: they are written as text
    shown: float | str | None = value
    if value is not None and not np.isfinite(value):
        shown = "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    raw = {
        "sensor_id": sensors.sensor_ids[sensor],
        "time": time,
        "value": shown,
        "unit": sensors.units[sensor],
        "status": status,
    }
    return json.dumps(raw)


def _reason(sensors: SensorTable, sensor: int, value: float | None, status: str) -> str:
    fault = sensors.faults[sensor]
    if fault is not None:
        return fault
    if value is None:
        return f"no value, though the status is {status}"
    if np.isnan(value):
        return f"the value is not a number (NaN), though the status is {status}"
    return "the value is infinite" if np.isinf(value) else _out_of_range(sensors, sensor, value)


def _out_of_range(sensors: SensorTable, sensor: int, value: float) -> str:
    unit = sensors.units[sensor]
    if value < sensors.minimum[sensor]:
        return f"{value:g} {unit} is below the minimum of {sensors.minimum[sensor]:g} {unit}"
    if value > sensors.maximum[sensor]:
        return f"{value:g} {unit} is above the maximum of {sensors.maximum[sensor]:g} {unit}"
    return f"{value:g} {unit} cannot be expressed in {sensors.calibrated_units[sensor]}"


def rejected_share(stored: int, rejected: int) -> float:
    """Return the share of rejected rows, 0 to 1; an empty window has none.

    Args:
        stored: Rows that can be stored, numbers and texts.
        rejected: Rejected rows, those the collector rejected included.
    """
    total = stored + rejected
    return rejected / total if total else 0.0
