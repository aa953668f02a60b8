"""What a window looks like on its way into the database, and what became of it. NumPy and Arrow only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.calibration.book import NO_CALIBRATIONS, CalibrationSet
from resources.core.readings import TIMESTAMP

REJECTED_ROWS_SCHEMA = pa.schema(
    [
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("time", TIMESTAMP),
        pa.field("sensor_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
    ]
)
"""Rows of scada.rejected_readings; `raw` is JSON text of the original (anything else is stored as a JSON string)."""

TEXT_ROWS_SCHEMA = pa.schema(
    [
        pa.field("time", TIMESTAMP, nullable=False),
        pa.field("sensor_id", pa.string(), nullable=False),
        pa.field("value", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("received_at", TIMESTAMP, nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
    ]
)
"""Rows of scada.text_readings."""


@dataclass(frozen=True, slots=True)
class SensorOrigin:
    """How one sensor's readings came in: what stays true of a row once it is stored."""

    sensor_id: str
    source: str
    unit: str
    calibrated_unit: str


@dataclass(frozen=True, slots=True)
class ReadingRows:
    """Numeric readings as columns of one length, one row per (sensor, time)."""

    sensor: npt.NDArray[np.int32]
    """Position in the window's `sensors`."""
    time_us: npt.NDArray[np.int64]
    """Source time, microseconds since 1970 UTC."""
    value: npt.NDArray[np.float64]
    """Engineering value; NaN: no value (status bad only)."""
    calibrated_value: npt.NDArray[np.float64]
    """Value in the canonical unit; NaN exactly where `value` is."""
    received_us: npt.NDArray[np.int64]
    """When the platform received it: becomes ingested_at, and decides which of two arrivals is the later."""
    quality_score: npt.NDArray[np.float32]
    """0 to 100."""
    status: npt.NDArray[np.int16]
    """resources.core.readings.Status."""
    sequence: npt.NDArray[np.int64]
    """Receive sequence."""
    defects: npt.NDArray[np.int16]
    """Why the score is below 100, one bit per rule; 0: no defect."""

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.time_us)

    def take(self, rows: npt.NDArray[Any]) -> ReadingRows:
        """Return the rows at these positions, or under this mask."""
        return ReadingRows(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})


@dataclass(frozen=True, slots=True)
class WindowToStore:
    """One revision of a window, judged: what is to stand in the tables afterwards."""

    site: str
    collector: str
    window_start: datetime
    window_end: datetime
    revision: int
    complete: bool
    """True: what this collector has stored of the window is replaced. False: these rows are merged into it."""
    partial: bool
    run_id: str
    sensors: tuple[SensorOrigin, ...]
    readings: ReadingRows
    texts: pa.Table
    """TEXT_ROWS_SCHEMA."""
    rejects: pa.Table
    """REJECTED_ROWS_SCHEMA."""
    deduplicated: Mapping[str, int] = field(default_factory=dict)
    """Source -> readings the buffer left out because the same (sensor, time, value) was already there."""
    calibrations: CalibrationSet = NO_CALIBRATIONS
    """What the calibrated values were made with."""


@dataclass(frozen=True, slots=True)
class SourceNumbers:
    """What stands in the tables of one source in one window."""

    rows: int = 0
    rejected: int = 0
    deduplicated: int = 0


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What became of one revision of a window."""

    stored: bool
    why_not: str | None
    """A sentence, where nothing was written."""
    sources: Mapping[str, SourceNumbers]
    """As the ledger has them after the transaction; empty where nothing was written."""
    written: int = 0
    """Numeric rows sent to the table: those that stood there unchanged are not written again."""
    deleted: int = 0
    """Numeric rows removed from the table."""

    @property
    def rows(self) -> int:
        """Rows of this window and collector that stand in the tables."""
        return sum(numbers.rows for numbers in self.sources.values())

    @property
    def rejected(self) -> int:
        """Rejected rows of this window and collector."""
        return sum(numbers.rejected for numbers in self.sources.values())

    @property
    def deduplicated(self) -> int:
        """Readings left out because the same was already there."""
        return sum(numbers.deduplicated for numbers in self.sources.values())
