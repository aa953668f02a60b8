"""From a segment to a window's contents: decode, settle duplicates, sort, name the sensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.core.contradictions import OVERTAKEN
from resources.core.readings import REJECTS_SCHEMA, TIMESTAMP, Reject, rejects_batch
from resources.window_buffer.contents import (
    BUFFERED_READINGS_SCHEMA,
    BUFFERED_REJECTS_SCHEMA,
    BUFFERED_TEXTS_SCHEMA,
    SENSORS_SCHEMA,
)
from resources.window_buffer.disk.columns import MISSING, Columns, Int32s, Int64s, TextRows
from resources.window_buffer.disk.frames import Damage, Frame
from resources.window_buffer.judging.rejects import SensorNames, rejected
from resources.window_buffer.reading.settle import Positions, Settled, number_codes, settle


@dataclass(slots=True)
class Sequenced:
    """Rows of one kind over all frames, in order of arrival, with their sequences."""

    readings: list[Columns] = field(default_factory=list)
    texts: list[TextRows] = field(default_factory=list)
    rejects: list[pa.RecordBatch] = field(default_factory=list)
    reading_numbers: list[Int64s] = field(default_factory=list)
    text_numbers: list[Int64s] = field(default_factory=list)
    reject_numbers: list[Int64s] = field(default_factory=list)
    sensors: dict[int, list[str]] = field(default_factory=dict)
    damage: list[Damage] = field(default_factory=list)

    def add(self, frame: Frame) -> None:
        """Take a frame's rows: readings, texts and rejects are numbered on in this order."""
        rows, number = frame.rows, frame.stamp.first_sequence
        kinds: tuple[tuple[Any, list[Any], list[Int64s]], ...] = (
            (rows.readings, self.readings, self.reading_numbers),
            (rows.texts, self.texts, self.text_numbers),
            (rows.rejects, self.rejects, self.reject_numbers),
        )
        for part, parts, numbers in kinds:
            if part is not None:
                count = part.num_rows if isinstance(part, pa.RecordBatch) else len(part)
                parts.append(part)
                numbers.append(np.arange(number, number + count))
                number += count
        if frame.stamp.sensors:
            for key, *row in json.loads(frame.stamp.sensors):
                self.sensors[key] = row


@dataclass(frozen=True, slots=True)
class Assembled:
    """The tables of a window's contents."""

    sensors: pa.Table
    readings: pa.Table
    texts: pa.Table
    rejects: pa.Table
    deduplicated: dict[str, int]
    damaged_bytes: int


class Assembler:
    """Turns the frames of one window into tables."""

    def __init__(
        self,
        items: Iterable[Frame | Damage],
        start_us: int,
        collector: str,
        known: Iterable[tuple[int, str, str, str]] = (),
    ) -> None:
        """Read all frames; `known` names sensors whose description may be damaged."""
        self._start_us = start_us
        self._collector = collector
        self._rows = Sequenced(sensors={key: row for key, *row in known})
        for item in items:
            if isinstance(item, Frame):
                self._rows.add(item)
            else:
                self._rows.damage.append(item)
        self._sensors = sorted(self._rows.sensors.items())
        keys = np.array([key for key, _ in self._sensors], np.int32)
        self._place = np.zeros(int(keys.max(initial=-1)) + 1, np.int64)
        self._place[keys] = np.arange(len(keys))
        columns = [pa.array([row[n] for _, row in self._sensors], pa.string()) for n in range(3)]
        self._names = SensorNames(*columns)
        self._table = pa.table([pa.array(keys), *columns], schema=SENSORS_SCHEMA)
        self._one_of = self._instruments()
        self._deduplicated: dict[str, int] = {}

    def _instruments(self) -> Int32s | None:
        """Return by key the first key with the same sensor_id, None where all ids differ (a unit was not changed)."""
        first: dict[str, int] = {}
        for key, (sensor_id, _, _) in self._sensors:
            first.setdefault(sensor_id, key)
        if len(first) == len(self._sensors):
            return None
        found = np.zeros(len(self._place), np.int32)
        for key, (sensor_id, _, _) in self._sensors:
            found[key] = first[sensor_id]
        return found

    def tables(self) -> Assembled:
        """Return everything."""
        readings = self._readings()
        texts = self._texts()
        rejects = self._rejects()
        damaged = sum(item.end - item.offset for item in self._rows.damage)
        return Assembled(self._table, readings, texts, rejects, self._deduplicated, damaged)

    def _readings(self) -> pa.Table:
        if not self._rows.readings:
            return BUFFERED_READINGS_SCHEMA.empty_table()
        rows, numbers = Columns.concat(self._rows.readings), np.concatenate(self._rows.reading_numbers)
        settled = self._settle(rows, numbers, number_codes(rows))
        numbers, rows = numbers[settled.kept], rows.take(settled.kept)
        missing = (rows.status & MISSING) != 0
        value = pa.array(rows.value, mask=missing) if missing.any() else pa.array(rows.value)
        status = rows.status & ~np.uint8(MISSING) if missing.any() else rows.status
        return pa.table(
            [
                pa.array(rows.time).view(TIMESTAMP),
                pa.array(rows.key),
                value,
                pa.array(status),
                pa.array(rows.received).view(TIMESTAMP),
                pa.array(numbers),
            ],
            schema=BUFFERED_READINGS_SCHEMA,
        )

    def _texts(self) -> pa.Table:
        if not self._rows.texts:
            return BUFFERED_TEXTS_SCHEMA.empty_table()
        rows, numbers = TextRows.concat(self._rows.texts), np.concatenate(self._rows.text_numbers)
        encoded = rows.batch.column(2).dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
        settled = self._settle(rows, numbers, encoded.__getitem__)
        kept = rows.take(settled.kept)
        return pa.table([*kept.batch.columns, pa.array(numbers[settled.kept])], schema=BUFFERED_TEXTS_SCHEMA)

    def _settle(self, rows: Columns | TextRows, numbers: Int64s, values_of: Callable[[Positions], Int64s]) -> Settled:
        instrument = rows.key if self._one_of is None else self._one_of[rows.key]
        settled = settle(instrument, rows.time - self._start_us, values_of)
        if self._one_of is not None:
            kept = settled.kept
            kept = kept[np.lexsort((rows.time[kept], rows.key[kept]))]
            settled = Settled(kept, settled.repeated, settled.overtaken)
        self._count(rows.key[settled.repeated])
        if len(settled.overtaken):
            self._overtake(rows, numbers, settled.overtaken)
        return settled

    def _count(self, keys: Int32s) -> None:
        sources = self._names.source.take(pa.array(self._place[keys]))
        for entry in pc.value_counts(sources).to_pylist():
            self._deduplicated[entry["values"]] = self._deduplicated.get(entry["values"], 0) + entry["counts"]

    def _overtake(self, rows: Columns | TextRows, numbers: Int64s, overtaken: Positions) -> None:
        part = rows.take(overtaken)
        self._rows.rejects.append(rejected(part, OVERTAKEN, self._names, self._place[part.key]))
        self._rows.reject_numbers.append(numbers[overtaken])

    def _rejects(self) -> pa.Table:
        batches, numbers = list(self._rows.rejects), list(self._rows.reject_numbers)
        if self._rows.damage:
            batch, number = self._damage_rejects()
            batches.append(batch)
            numbers.append(number)
        if not batches:
            return BUFFERED_REJECTS_SCHEMA.empty_table()
        number = np.concatenate(numbers)
        table = pa.Table.from_batches(batches, REJECTS_SCHEMA).append_column(
            BUFFERED_REJECTS_SCHEMA.field("sequence"), pa.array(number)
        )
        return table.take(pa.array(np.argsort(number, kind="stable"))).combine_chunks()

    def _damage_rejects(self) -> tuple[pa.RecordBatch, Int64s]:
        """Return one reject per unreadable stretch: what is lost must be seen.

        Its sequence is negative, so that no row has it.
        """
        rows = [
            Reject(
                source=self._collector,
                raw=json.dumps({"offset": item.offset, "bytes": item.end - item.offset}),
                reasons=("the buffer's segment cannot be read here: its checksum does not fit (a fault of the disk)",),
                received_us=self._start_us,
            )
            for item in self._rows.damage
        ]
        numbers = [-(self._start_us // 1_000_000 * 1000 + n) for n in range(len(rows))]
        return rejects_batch(rows), np.array(numbers, np.int64)
