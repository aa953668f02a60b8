"""Rejects made by the buffer itself: readings that broke a time rule, or were overtaken by a later arrival."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.core.readings import REJECTS_SCHEMA, STATUS_NAMES, TIMESTAMP
from resources.window_buffer.disk.columns import MISSING, Columns, Int64s, TextRows


@dataclass(frozen=True, slots=True)
class SensorNames:
    """What is known of numbered sensors: row n is sensor n of whoever numbered them."""

    sensor_id: pa.Array
    unit: pa.Array
    source: pa.Array


def rejected(rows: Columns | TextRows, reason: str, names: SensorNames, number: Int64s) -> pa.RecordBatch:
    """Return readings as rejects of REJECTS_SCHEMA, in their order.

    Args:
        rows: What is rejected.
        reason: Why, as a sentence.
        names: The sensors.
        number: For each row its sensor's number in `names`, below 0 where there is none.
    """
    index = pa.array(number, mask=number < 0)
    unit = names.unit.take(index)
    raw = _raw_numbers(rows, unit) if isinstance(rows, Columns) else _raw_texts(rows, unit)
    count = len(rows)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(rows.time).cast(TIMESTAMP),
            names.sensor_id.take(index),
            pc.fill_null(names.source.take(index), "unknown"),
            raw,
            pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32), pa.array([reason] * count, pa.string())),
            pa.array(rows.received).cast(TIMESTAMP),
        ],
        schema=REJECTS_SCHEMA,
    )


def _raw_numbers(rows: Columns, unit: pa.Array) -> pa.Array:
    value = pa.array(rows.value)
    text = pc.cast(value, pa.string())
    # JSON knows neither NaN nor infinity
    quoted = pc.binary_join_element_wise('"', text, '"', "")
    shown = pc.if_else(pc.is_finite(value), text, quoted)
    missing = pa.array((rows.status & MISSING) != 0)
    shown = pc.if_else(missing, pa.scalar("null"), shown)
    status = pa.array(STATUS_NAMES).take(pa.array(np.minimum(rows.status & ~np.uint8(MISSING), 2)))
    return pc.binary_join_element_wise(
        '{"value": ', shown, ', "status": "', status, '", "unit": "', pc.fill_null(unit, ""), '"}', ""
    )


def _raw_texts(rows: TextRows, unit: pa.Array) -> pa.Array:
    # one JSON encoding per row: only the rejected ones among the few texts come here
    _, _, values, statuses, _ = rows.batch.to_pydict().values()
    raw = [
        json.dumps({"value": value, "status": STATUS_NAMES[min(status, 2)], "unit": of or ""})
        for value, status, of in zip(values, statuses, unit.to_pylist(), strict=True)
    ]
    return pa.array(raw, pa.string())
