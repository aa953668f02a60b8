"""Tables of a window as the buffer hands them out, in few words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from resources.core.clock import to_micros
from resources.core.configuration.settings import TagConfig
from resources.core.readings import readings_batch
from resources.window_buffer.contents import SENSORS_SCHEMA

START = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)

TAGS = {
    tag.sensor_id: tag
    for tag in (
        TagConfig(sensor_id="t", unit="Cel", canonical_unit="K", minimum=-50, maximum=500),
        TagConfig(sensor_id="p", unit="bar"),
    )
}

SENSORS = [(7, "t", "Cel", "opc"), (3, "p", "bar", "plc")]


def sensors(found: Sequence[tuple[int, str, str, str]] = SENSORS) -> pa.Table:
    columns = list(zip(*found, strict=True)) if found else [[]] * 4
    return pa.table(list(map(list, columns)), schema=SENSORS_SCHEMA)


def readings(
    found: Sequence[tuple[int, int, float | None, int]], *, received_s: float = 1, first_sequence: int = 100
) -> pa.Table:
    """Rows of (sensor_key, seconds after START, value, status), as one chunk a row: contents may come in pieces."""
    times = np.array([to_micros(START + timedelta(seconds=row[1])) for row in found], dtype=np.int64)
    batch = readings_batch(
        times,
        [row[0] for row in found],
        [np.nan if row[2] is None else row[2] for row in found],
        np.array([row[3] for row in found], dtype=np.uint8),
        times + int(received_s * 1e6),
        missing=np.array([row[2] is None for row in found], dtype=bool),
    )
    table = pa.Table.from_batches([batch.slice(n, 1) for n in range(len(found))] or [batch])
    sequence = pa.array(range(first_sequence, first_sequence + len(found)), pa.int64())
    return table.append_column(pa.field("sequence", pa.int64(), nullable=False), sequence)
