"""A small plant's worth of readings for the buffer's tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from resources.core.clock import ManualClock, to_micros
from resources.core.readings import (
    TEXTS_SCHEMA,
    TIMESTAMP,
    ReadingBatch,
    Reject,
    readings_batch,
    rejects_batch,
)
from resources.core.tags import Sensor, SensorCatalog
from resources.core.windows import WindowGrid
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.contents import WindowContents

T0 = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
CATALOG = SensorCatalog([Sensor(f"a{n}", "Cel", "alpha") for n in range(4)] + [Sensor("b0", "bar", "beta")])


def open_buffer(folder: Path, clock: ManualClock, **settings: Any) -> WindowBuffer:
    given: dict[str, Any] = {
        "collector": "collector",
        "grid": WindowGrid(MINUTE),
        "start": T0 - timedelta(days=30),
        "catalog": CATALOG,
        "clock": clock,
        **settings,
    }
    return WindowBuffer(folder, **given)


def readings(
    at: datetime | Sequence[datetime],
    keys: Sequence[int],
    values: Sequence[float],
    *,
    source: str = "alpha",
    received: datetime | None = None,
    **flags: Any,
) -> ReadingBatch:
    times = [at] * len(keys) if isinstance(at, datetime) else at
    micros = [to_micros(t) for t in times]
    got = to_micros(received) if received else micros[0]
    return ReadingBatch(source, readings=readings_batch(micros, list(keys), list(values), 0, got), **flags)


def texts(at: datetime, key: int, value: str | None, *, received: datetime | None = None, **flags: Any) -> ReadingBatch:
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([to_micros(at)]).cast(TIMESTAMP),
            pa.array([key], pa.int32()),
            pa.array([value], pa.string()),
            pa.array([0], pa.uint8()),
            pa.array([to_micros(received or at)]).cast(TIMESTAMP),
        ],
        schema=TEXTS_SCHEMA,
    )
    return ReadingBatch("alpha", texts=batch, **flags)


def reject(received: datetime, *, time: datetime | None = None, source: str = "alpha") -> ReadingBatch:
    one = Reject(source, '{"odd": 1}', ("not a number",), to_micros(received), to_micros(time) if time else None)
    return ReadingBatch(source, rejects=rejects_batch([one]))


def values(contents: WindowContents) -> dict[tuple[str, datetime], float | None]:
    """Return (sensor_id, time) -> value."""
    names = dict(
        zip(contents.sensors["sensor_key"].to_pylist(), contents.sensors["sensor_id"].to_pylist(), strict=True)
    )
    rows = contents.readings.to_pylist()
    found = {(names[row["sensor_key"]], row["time"].astimezone(UTC)): row["value"] for row in rows}
    assert len(found) == len(rows), "a (sensor_id, time) twice"
    return found


def reasons(contents: WindowContents) -> list[str]:
    return [reason for row in contents.rejects.to_pylist() for reason in row["reasons"]]


def ramp(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.float64)
