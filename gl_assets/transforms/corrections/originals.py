"""Rejected readings as columns again: what their originals say, where an original is a reading at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from resources.core.readings import TIMESTAMP

QUARANTINED = pa.schema(
    [
        pa.field("collector", pa.string(), nullable=False),
        pa.field("window_start", TIMESTAMP, nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("original", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("sensor_id", pa.string()),
        pa.field("time", TIMESTAMP),
        pa.field("value", pa.float64()),
        pa.field("text_value", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("status", pa.string()),
    ]
)
"""Rejected readings: first what they are known by, then the reading. Whatever is not known of it is null."""

_READING = frozenset({"value", "status"})
_MORE = frozenset({"sensor_id", "time", "unit"})


def original_readings(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rejected rows as QUARANTINED, in their order.

    An original is a reading where the platform wrote it: an object of value and status, and of nothing else than
    sensor_id, time and unit. What a source sent (a payload, registers) is not: its numbers are before scale and offset.

    Args:
        rows: collector, window_start, sequence, source, sensor_id, time, raw (the original, parsed), reasons.
    """
    return pa.Table.from_pylist([_row(row) for row in rows], schema=QUARANTINED)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    raw = row["raw"]
    found = {name: row[name] for name in ("collector", "window_start", "sequence", "source", "sensor_id", "time")}
    found |= {"original": orjson.dumps(raw).decode(), "reasons": row["reasons"]}
    if isinstance(raw, dict) and raw.keys() >= _READING and raw.keys() <= _READING | _MORE:
        value = raw["value"]
        number = as_number(value)
        found |= {
            "value": number,
            "text_value": value if isinstance(value, str) and number is None else None,
            "unit": raw.get("unit") or None,
            "status": raw["status"],
        }
    return found


def as_number(value: Any) -> float | None:
    """Return a JSON value as a number; NaN and infinity are written as text, since JSON has neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return None
        # any other text that looks like a number is a text reading
        return number if not math.isfinite(number) else None
    return None
