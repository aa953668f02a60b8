"""Batches to the tables of a window without a buffer: for what is read from history and goes straight to the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from resources.core.clock import to_micros
from resources.core.readings import ReadingBatch
from resources.core.tags import Sensor
from resources.window_buffer.disk.columns import Columns, Rows, TextRows
from resources.window_buffer.disk.frames import Frame, Stamp
from resources.window_buffer.reading.assemble import Assembled, Assembler


def assemble_batches(
    batches: Sequence[ReadingBatch], sensors: Sequence[Sensor], window_start: datetime, collector: str
) -> Assembled:
    """Return the batches' rows as a window's contents has them: sorted, duplicates settled, sensors named.

    Args:
        batches: In order of arrival; all rows lie in one window.
        sensors: The sensors by the number that the batches give them.
        window_start: Start of the window.
        collector: Name that the rows go under.
    """
    start_us = to_micros(window_start)
    names = json.dumps([[key, s.sensor_id, s.unit, s.source] for key, s in enumerate(sensors)]).encode()
    stamp = Stamp(first_sequence=0, time_base=start_us, written_at=start_us, sensors=names)
    return Assembler([Frame(0, 0, stamp, _rows(batches))], start_us, collector).tables()


def _rows(batches: Sequence[ReadingBatch]) -> Rows:
    readings = [batch.readings for batch in batches if batch.readings is not None]
    texts = [batch.texts for batch in batches if batch.texts is not None]
    rejects = [batch.rejects for batch in batches if batch.rejects is not None]
    return Rows(
        Columns.from_batches(readings) if readings else None,
        TextRows.from_batches(texts) if texts else None,
        pa.concat_batches(rejects) if rejects else None,
    )
