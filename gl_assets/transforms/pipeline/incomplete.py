"""Validate, before anything else: readings that lack a field which no column of numbers can be without."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from gl_assets.transforms.pipeline.reasons import REJECTED_SCHEMA
from gl_assets.transforms.sensors import SensorTable
from resources.core.readings import TIMESTAMP

FIELDS = ("time", "sensor_key", "status", "received_at")
"""What no reading may lack; a value may be missing where the status is bad."""


def without_incomplete(readings: pa.Table, sensors: SensorTable) -> tuple[pa.Table, pa.Table]:
    """Return the readings that have every field, and those that do not as REJECTED_SCHEMA; the latter are few."""
    lacking = [name for name in FIELDS if readings.column(name).null_count]
    if not lacking:
        return readings, REJECTED_SCHEMA.empty_table()
    missing = readings.column(lacking[0]).is_null()
    for name in lacking[1:]:
        missing = pc.or_(missing, readings.column(name).is_null())
    return readings.filter(pc.invert(missing)), _as_rejected(readings.filter(missing), sensors)


def _as_rejected(readings: pa.Table, sensors: SensorTable) -> pa.Table:
    rows = []
    for row in readings.cast(_with_times(readings)).to_pylist():
        place = None if row["sensor_key"] is None else int(sensors.position[row["sensor_key"]])
        time = row["time"]
        raw = {
            "sensor_id": None if place is None else sensors.sensor_ids[place],
            "time": None if time is None else time.isoformat(),
            "value": None if row["value"] is None else str(row["value"]),
            "unit": None if place is None else sensors.units[place],
            "status": row["status"],
        }
        rows.append(
            {
                "sequence": row["sequence"],
                "time": time,
                "sensor_id": raw["sensor_id"],
                "source": "unknown" if place is None else sensors.sources[place],
                "raw": json.dumps(raw),
                "reasons": [f"{_NAMES[name]} is missing" for name in FIELDS if row[name] is None],
            }
        )
    return pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA)


def _with_times(readings: pa.Table) -> pa.Schema:
    kinds = {"time": TIMESTAMP, "received_at": TIMESTAMP}
    return pa.schema([pa.field(f.name, kinds.get(f.name, f.type)) for f in readings.schema])


_NAMES = {"time": "source time", "sensor_key": "the sensor", "status": "the status", "received_at": "time of receipt"}
