"""What a source's history holds of a window, as contents that are stored like any other: judged, validated, merged.

It is stored under a name of its own (`resources.core.origins`), so that a later revision of the window leaves it there.
What stands in the tables already is left out before, so that reading the same history twice changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa

from resources.core.clock import to_micros
from resources.core.readings import ReadingBatch
from resources.core.tags import Sensor
from resources.databases.timescale.rework.standing_rows import (
    Readings,
    rejected_sequences,
    standing_numbers,
    standing_texts,
    stored_revision,
)
from resources.databases.timescale.window_store.readings_table import Window
from resources.window_buffer.contents import WindowContents
from resources.window_buffer.reading.in_memory import assemble_batches

_SEQUENCES = 2**62
"""Rejects that history brings as such have a sequence above this one, readings one below."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a window that history was read for: `[since, until)` within the window that begins at `start`."""

    start: datetime
    end: datetime
    since: datetime
    until: datetime


def history_contents(
    batches: Sequence[ReadingBatch], sensors: Sequence[Sensor], stretch: Stretch, collector: str
) -> WindowContents:
    """Return what history gave as contents of a window, to be merged.

    Sequences are made of sensor and time (of a reject also of what it holds): the same row read again has the same one.

    Args:
        batches: As the connector yields them; all rows lie in the stretch.
        sensors: The sensors by the number that the batches give them.
        stretch: The window, and which part of it was read.
        collector: Name that history is stored under.
    """
    tables = assemble_batches(batches, sensors, stretch.start, collector)
    hashes = np.array([_hash31(sensor.sensor_id) for sensor in sensors], dtype=np.int64)
    start_us = to_micros(stretch.start)
    return WindowContents(
        collector=collector,
        window_start=stretch.start,
        window_end=stretch.end,
        revision=1,
        sensors=tables.sensors,
        readings=_numbered(tables.readings, hashes, start_us),
        texts=_numbered(tables.texts, hashes, start_us),
        rejects=_with_sequence(tables.rejects, np.array(_reject_sequences(tables.rejects), dtype=np.int64)),
        deduplicated={},
        complete=False,
        partial=False,
        expected_sources=(),
    )


def without_standing(connection: psycopg.Connection, contents: WindowContents, site: str) -> WindowContents:
    """Return the contents less what stands in the tables already, at the revision that comes next."""
    window = Window(site, contents.collector, contents.window_start, contents.window_end, "")
    gone = rejected_sequences(connection, window)
    readings = contents.readings
    if readings.num_rows:
        stands = standing_numbers(connection, window, _by_name(readings, contents.sensors))
        readings = readings.filter(pa.array(~stands & ~_among(readings, gone)))
    texts = contents.texts.filter(pa.array(~_texts_that_stand(connection, contents) & ~_among(contents.texts, gone)))
    return replace(
        contents,
        revision=stored_revision(connection, window) + 1,
        readings=readings,
        texts=texts,
        rejects=contents.rejects.filter(pa.array(~_among(contents.rejects, gone))),
    )


def rows_of(contents: WindowContents) -> int:
    """Return how many rows there are: readings, texts and rejects."""
    return int(contents.readings.num_rows + contents.texts.num_rows + contents.rejects.num_rows)


def _by_name(readings: pa.Table, sensors: pa.Table) -> Readings:
    # keys are positions in the sensors: assemble_batches numbers them so
    return Readings(
        sensors.column("sensor_id").to_pylist(),
        readings.column("sensor_key").to_numpy(),
        readings.column("time").cast(pa.int64()).to_numpy(),
        readings.column("value").to_numpy(),
    )


def _texts_that_stand(connection: psycopg.Connection, contents: WindowContents) -> npt.NDArray[np.bool_]:
    texts = contents.texts
    if not texts.num_rows:
        return np.zeros(0, dtype=np.bool_)
    names = contents.sensors.column("sensor_id").to_pylist()
    keys = texts.column("sensor_key").to_pylist()
    there = standing_texts(connection, contents.window_start, contents.window_end, sorted({names[key] for key in keys}))
    rows = zip(keys, texts.column("time").to_pylist(), texts.column("value").to_pylist(), strict=True)
    return np.array([(names[key], time, value) in there for key, time, value in rows], dtype=np.bool_)


def _among(table: pa.Table, sequences: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return np.isin(table.column("sequence").to_numpy(), sequences)


def _numbered(table: pa.Table, hashes: npt.NDArray[np.int64], start_us: int) -> pa.Table:
    offset = table.column("time").cast(pa.int64()).to_numpy() - start_us
    return _with_sequence(table, (hashes[table.column("sensor_key").to_numpy()] << 32 | offset) % _SEQUENCES)


def _reject_sequences(rejects: pa.Table) -> list[int]:
    columns = (rejects.column(name).to_pylist() for name in ("sensor_id", "time", "raw"))
    return [
        _SEQUENCES + int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=8).digest()) % _SEQUENCES
        for row in zip(*columns, strict=True)
    ]


def _with_sequence(table: pa.Table, sequence: npt.NDArray[np.int64]) -> pa.Table:
    place = table.schema.get_field_index("sequence")
    return table.set_column(place, table.schema.field(place), pa.array(sequence, pa.int64()))


def _hash31(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) >> 1
