"""Readings as Arrow batches: what every connector yields, the buffer keeps and the assets store.

A batch refers to sensors by `sensor_key`, the number a `SensorCatalog` gives them. Times are UTC microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")


class Status(IntEnum):
    """Quality as the source states it, on the wire of a batch one byte; the names are those of the tables."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


STATUS_NAMES: tuple[str, ...] = tuple(status.name.lower() for status in Status)
"""Status code -> name as stored: `good`, `uncertain`, `bad`."""

READINGS_SCHEMA = pa.schema(
    [
        pa.field("time", TIMESTAMP, nullable=False),
        pa.field("sensor_key", pa.int32(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("status", pa.uint8(), nullable=False),
        pa.field("received_at", TIMESTAMP, nullable=False),
    ]
)
"""Numeric readings: `time` is source time; `value` in the sensor's unit after scale and offset; null only with BAD."""

TEXTS_SCHEMA = READINGS_SCHEMA.set(2, pa.field("value", pa.string()))
"""Text readings: the same with a string value."""

REJECTS_SCHEMA = pa.schema(
    [
        pa.field("time", TIMESTAMP),
        pa.field("sensor_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("received_at", TIMESTAMP, nullable=False),
    ]
)
"""What could not become a reading: `raw` is JSON text of the original, `reasons` are sentences a person understands."""


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """What a connector yields: readings, texts and rejects of one source, and how to acknowledge them.

    `acknowledge` is called once, from the collector's event loop, after everything in the batch is durable.
    `only_if_newer` marks first values of a subscription, birth metrics and retained messages: they always go to
    the live view, but become readings only if newer than the sensor's last known time.
    """

    source: str
    readings: pa.RecordBatch | None = None
    texts: pa.RecordBatch | None = None
    rejects: pa.RecordBatch | None = None
    only_if_newer: bool = False
    acknowledge: Callable[[], None] | None = None

    @property
    def rows(self) -> int:
        """How many rows the batch holds, rejects included."""
        return sum(part.num_rows for part in (self.readings, self.texts, self.rejects) if part is not None)


def readings_batch(
    times_us: npt.ArrayLike,
    sensor_keys: npt.ArrayLike,
    values: npt.ArrayLike,
    statuses: npt.ArrayLike,
    received_us: npt.ArrayLike,
    *,
    missing: npt.NDArray[np.bool_] | None = None,
) -> pa.RecordBatch:
    """Return numeric readings as one record batch of READINGS_SCHEMA.

    Args:
        times_us: Source times, microseconds since 1970 UTC.
        sensor_keys: Numbers from the SensorCatalog.
        values: Engineering values. NaN stays NaN here: whether it is allowed is for the validation to say.
        statuses: Status codes.
        received_us: Receive times, microseconds; one number stands for all.
        missing: True where there is no value at all (null).
    """
    times = np.ascontiguousarray(times_us, dtype=np.int64)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(times).view(TIMESTAMP),
            pa.array(np.ascontiguousarray(sensor_keys, dtype=np.int32)),
            pa.array(np.ascontiguousarray(values, dtype=np.float64), mask=missing),
            pa.array(_column(statuses, np.uint8, times.size)),
            pa.array(_column(received_us, np.int64, times.size)).view(TIMESTAMP),
        ],
        schema=READINGS_SCHEMA,
    )


def _column(values: npt.ArrayLike, dtype: npt.DTypeLike, size: int) -> npt.NDArray[np.generic]:
    """Return `values` as a column, one number as many times as there are rows."""
    column = np.asarray(values, dtype=dtype)
    return np.full(size, column) if column.ndim == 0 else np.ascontiguousarray(column)


def texts_batch(
    times_us: Sequence[int],
    sensor_keys: Sequence[int],
    values: Sequence[str | None],
    statuses: Sequence[int],
    received_us: int,
) -> pa.RecordBatch:
    """Return text readings as one record batch of TEXTS_SCHEMA.

    Args:
        times_us: Source times, microseconds since 1970 UTC.
        sensor_keys: Numbers from the SensorCatalog, of sensors with `is_text`.
        values: The texts; None where there is no value at all, which goes with status BAD only. A NUL, which the
            database cannot hold, is left out, and half of a surrogate pair becomes a question mark.
        statuses: Status codes.
        received_us: Receive time of all, microseconds.
    """
    clean = [None if v is None else v.replace("\x00", "").encode("utf-8", "replace").decode() for v in values]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(times_us, pa.int64()).view(TIMESTAMP),
            pa.array(sensor_keys, pa.int32()),
            pa.array(clean, pa.string()),
            pa.array(statuses, pa.uint8()),
            pa.array([received_us] * len(clean), pa.int64()).view(TIMESTAMP),
        ],
        schema=TEXTS_SCHEMA,
    )


@dataclass(frozen=True, slots=True)
class Reject:
    """One thing that could not become a reading; `raw` is JSON text of the original."""

    source: str
    raw: str
    reasons: tuple[str, ...]
    received_us: int
    time_us: int | None = None
    sensor_id: str | None = None


def rejects_batch(rejects: Sequence[Reject]) -> pa.RecordBatch:
    """Return rejects as one record batch of REJECTS_SCHEMA."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array([r.time_us for r in rejects], pa.int64()).view(TIMESTAMP),
            pa.array([r.sensor_id for r in rejects], pa.string()),
            pa.array([r.source for r in rejects], pa.string()),
            pa.array([r.raw for r in rejects], pa.string()),
            pa.array([list(r.reasons) for r in rejects], pa.list_(pa.string())),
            pa.array([r.received_us for r in rejects], pa.int64()).view(TIMESTAMP),
        ],
        schema=REJECTS_SCHEMA,
    )
