"""What a window holds when it is read back: the contract between the buffer and the assets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from resources.core.readings import READINGS_SCHEMA, REJECTS_SCHEMA, TEXTS_SCHEMA

SENSORS_SCHEMA = pa.schema(
    [
        pa.field("sensor_key", pa.int32(), nullable=False),
        pa.field("sensor_id", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)
"""The sensors a window refers to; `sensor_key` is the buffer's own number, stable over restarts and configurations."""

_SEQUENCE = pa.field("sequence", pa.int64(), nullable=False)

BUFFERED_READINGS_SCHEMA = READINGS_SCHEMA.append(_SEQUENCE)
"""READINGS_SCHEMA and the receive sequence (ascending in order of arrival, unique per collector)."""

BUFFERED_TEXTS_SCHEMA = TEXTS_SCHEMA.append(_SEQUENCE)
"""TEXTS_SCHEMA and the receive sequence."""

BUFFERED_REJECTS_SCHEMA = REJECTS_SCHEMA.append(_SEQUENCE)
"""REJECTS_SCHEMA and the receive sequence."""


@dataclass(frozen=True, slots=True)
class WindowContents:
    """Everything one revision of a window holds, deduplicated.

    `readings` has one row per (sensor_key, time), ascending in both: of equal times with the same value one is kept,
    with another value the later arrival; the earlier ones are in `rejects` with the reason.
    """

    collector: str
    window_start: datetime
    window_end: datetime
    revision: int
    sensors: pa.Table
    """SENSORS_SCHEMA."""
    readings: pa.Table
    """BUFFERED_READINGS_SCHEMA, by (sensor_key, time)."""
    texts: pa.Table
    """BUFFERED_TEXTS_SCHEMA, by (sensor_key, time)."""
    rejects: pa.Table
    """BUFFERED_REJECTS_SCHEMA, by sequence."""
    deduplicated: dict[str, int]
    """Source -> readings left out because the same (sensor, time, value) was already there."""
    complete: bool
    """True if this buffer opened the window and never dropped any of it: only then may stored rows be replaced."""
    partial: bool
    """True for the first and last window of a run that was ended on purpose: some sources may be missing."""
    expected_sources: tuple[str, ...]
    """Sources configured while the window was open."""
