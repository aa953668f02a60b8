"""Text readings of a window by name, as `scada.text_readings` holds them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from resources.core.readings import STATUS_NAMES


def named_texts(texts: pa.Table, sensors: pa.Table) -> pa.Table:
    """Return one row per text reading: time, sensor_id, value, status, source, received_at, sequence.

    Args:
        texts: time, sensor_key, value, status, received_at, sequence.
        sensors: sensor_key, sensor_id, unit, source.
    """
    rows = pc.index_in(texts.column("sensor_key"), value_set=sensors.column("sensor_key").combine_chunks())
    return pa.table(
        {
            "time": texts.column("time"),
            "sensor_id": sensors.column("sensor_id").take(rows),
            "value": texts.column("value"),
            "status": pa.chunked_array([pa.array(STATUS_NAMES)]).take(texts.column("status")),
            "source": sensors.column("source").take(rows),
            "received_at": texts.column("received_at"),
            "sequence": texts.column("sequence"),
        }
    )
