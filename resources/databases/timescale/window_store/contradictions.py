"""Rows of scada.rejected_readings for readings that a later arrival contradicts; there are few, so by row."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from resources.core.clock import from_micros
from resources.core.contradictions import REPLACED
from resources.core.readings import STATUS_NAMES
from resources.databases.timescale.window_store.window import REJECTED_ROWS_SCHEMA, ReadingRows, SensorOrigin


def rejected_rows(sensors: tuple[SensorOrigin, ...], readings: ReadingRows) -> pa.Table:
    """Return the readings as REJECTED_ROWS_SCHEMA, each with its original as JSON."""
    rows = []
    for n in range(len(readings)):
        sensor, time = sensors[readings.sensor[n]], from_micros(int(readings.time_us[n]))
        value = None if np.isnan(readings.value[n]) else float(readings.value[n])
        raw = {
            "sensor_id": sensor.sensor_id,
            "time": time.isoformat(),
            "value": value,
            "unit": sensor.unit,
            "status": STATUS_NAMES[readings.status[n]],
        }
        rows.append(
            {
                "sequence": int(readings.sequence[n]),
                "time": time,
                "sensor_id": sensor.sensor_id,
                "source": sensor.source,
                "raw": json.dumps(raw),
                "reasons": [REPLACED],
            }
        )
    return pa.Table.from_pylist(rows, schema=REJECTED_ROWS_SCHEMA)
