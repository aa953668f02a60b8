"""Batches through the filter: the sensors with `report` lose the readings that say nothing new, all else passes.

A reading that is left out is acknowledged, and not counted as sent. The newest of them is held, one per sensor, and may
be kept after all; then it counts as sent. Once a newer one takes its place it is `suppressed`. A collector that is
killed loses the held ones: what lay between the last reading kept and the first one after its restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.configuration.settings import TagConfig
from resources.core.readings import READINGS_SCHEMA, TEXTS_SCHEMA, TIMESTAMP, ReadingBatch, Status
from resources.core.tags import SensorCatalog
from resources.scada.report_filter.engine import Engine
from resources.scada.report_filter.rules import Frame, Mask, Rules
from resources.scada.report_filter.state import Rows
from resources.scada.report_filter.texts import TextNumbers

_BAD = int(Status.BAD)


@dataclass(frozen=True, slots=True)
class Filtered:
    """What is left of a batch."""

    batch: ReadingBatch
    left_out: int = 0
    """Rows that are no longer in the batch, less held ones of earlier batches that it carries now; may be negative."""
    suppressed: int = 0
    """Rows that are now left out for good: not the one that is held of each sensor."""


class ReportFilter:
    """The filter of one collector, all sources; state per sensor, nothing on disk."""

    def __init__(self, tags: Mapping[str, TagConfig], catalog: SensorCatalog, frame: Frame) -> None:
        """Filter the tags (sensor_id -> tag) with `report`; the catalog's numbers are those of the batches."""
        chosen = [(key, tags[s.sensor_id]) for key, s in enumerate(catalog.sensors) if s.sensor_id in tags]
        chosen = [(key, tag) for key, tag in chosen if tag.report is not None]
        self._catalog, self._frame = catalog, frame
        self._numbers = Engine(Rules.of([c for c in chosen if not c[1].is_text]), frame, len(catalog))
        self._texts = Engine(Rules.of([c for c in chosen if c[1].is_text]), frame, len(catalog))
        self._coder = TextNumbers()
        names = {name: n for n, name in enumerate(dict.fromkeys(s.source for s in catalog.sensors))}
        self._sources = tuple(names)
        self._source_of = np.array([names[s.source] for s in catalog.sensors], dtype=np.intp)
        self._window = 0

    @staticmethod
    def if_any(tags: Mapping[str, TagConfig], catalog: SensorCatalog, frame: Frame) -> ReportFilter | None:
        """Return the filter, None if no tag has `report`: then there is nothing on a reading's way."""
        return ReportFilter(tags, catalog, frame) if any(tag.report is not None for tag in tags.values()) else None

    def know(self, times: npt.NDArray[np.int64]) -> None:
        """Take the newest source times of earlier runs (microseconds, by the number of the sensor), before all else.

        Readings up to them come again after a kill; they are kept as they are, and nothing is compared with them.
        """
        for engine in (self._numbers, self._texts):
            engine.know(times)

    def apply(self, batch: ReadingBatch) -> Filtered:
        """Return what is kept of `batch`. First values (`only_if_newer`) are, and what follows is judged by them."""
        if batch.only_if_newer:
            self._first(self._numbers, batch.readings)
            self._first(self._texts, batch.texts)
            return Filtered(batch)
        readings, suppressed = self._judged(self._numbers, batch.readings)
        texts, more = self._judged(self._texts, batch.texts)
        if batch.rejects is not None:
            self._forget_rejected(batch.rejects)
        if readings is batch.readings and texts is batch.texts:
            # a reading that is kept may have taken the place of a held one
            return Filtered(batch, suppressed=suppressed + more)
        left = replace(batch, readings=readings, texts=texts)
        return Filtered(left, batch.rows - left.rows, suppressed + more)

    def let_go(self) -> list[ReadingBatch]:
        """Return the held readings that were let go and are in no batch yet, one batch per source."""
        found: dict[str, ReadingBatch] = {}
        for engine, is_text in ((self._numbers, False), (self._texts, True)):
            rows = engine.take_let_go()
            if rows is None:
                continue
            source = self._source_of[engine.rules.keys[rows.slots]]
            for number in np.unique(source).tolist():
                name, part = self._sources[number], self._batch(engine, rows.take(source == number))
                batch = found.setdefault(name, ReadingBatch(name))
                found[name] = replace(batch, texts=part) if is_text else replace(batch, readings=part)
        return list(found.values())

    def lost(self, source: str) -> None:
        """Note that a source's readings are interrupted: its held ones are let go, its next ones are first values."""
        for engine in (self._numbers, self._texts):
            engine.forget(self._slots_of(engine, source))

    def tick(self, now_us: int) -> None:
        """Let go what the clock asks for: windows that have ended, and silences that have become too long."""
        window = now_us - now_us % self._frame.window
        begins = window if window != self._window else None
        self._window = window
        for engine in (self._numbers, self._texts):
            engine.release_due(now_us, begins)

    def end(self) -> None:
        """Let go all that is held: the run ends."""
        for engine in (self._numbers, self._texts):
            engine.release(engine.state.held)

    def _judged(self, engine: Engine, part: pa.RecordBatch | None) -> tuple[pa.RecordBatch | None, int]:
        """Return what is kept of a batch's readings or texts (`part` itself if that is all), and how many are not."""
        slots = self._slots(engine, part)
        if part is None or slots is None:
            return part, 0
        mine, held = np.flatnonzero(slots >= 0), engine.held
        every = len(mine) == len(slots)
        rows, lost = self._rows(engine, part, slots)
        kept = engine.judge(rows if every else rows.take(mine), lost if every else lost[mine])
        late = engine.take_let_go()
        gone = len(mine) + held - int(kept.sum()) - (0 if late is None else len(late)) - engine.held
        if late is None and kept.all():
            return part, gone
        if late is None and every and not kept.any():
            return None, gone
        keep = np.ones(len(slots), dtype=np.bool_)
        keep[mine] = kept
        left = part.filter(pa.array(keep))
        return (left if late is None else pa.concat_batches([self._batch(engine, late), left])), gone

    def _first(self, engine: Engine, part: pa.RecordBatch | None) -> None:
        slots = self._slots(engine, part)
        if part is not None and slots is not None:
            mine = np.flatnonzero(slots >= 0)
            rows, lost = self._rows(engine, part, slots)
            engine.first(rows.take(mine), lost[mine])

    @staticmethod
    def _slots(engine: Engine, part: pa.RecordBatch | None) -> npt.NDArray[np.intp] | None:
        """Return the slot of every row, -1 where it is not filtered; None if none is."""
        if part is None or not part.num_rows or not len(engine.rules):
            return None
        slots = engine.slots_of(part.column("sensor_key").to_numpy())
        return slots if (slots >= 0).any() else None

    def _rows(self, engine: Engine, part: pa.RecordBatch, slots: npt.NDArray[np.intp]) -> tuple[Rows, Mask]:
        values = part.column("value")
        if engine is self._texts:
            self._coder.keep_only(engine.state.value)
            numbers = self._coder.numbers(values)
        else:
            numbers = values.to_numpy(zero_copy_only=False)
        statuses = part.column("status").to_numpy()
        rows = Rows(slots, _micros(part, "time"), numbers, statuses, _micros(part, "received_at"))
        return rows, ~np.isfinite(numbers) | (statuses == _BAD)

    def _batch(self, engine: Engine, rows: Rows) -> pa.RecordBatch:
        is_text = engine is self._texts
        return pa.RecordBatch.from_arrays(
            [
                pa.array(rows.times).cast(TIMESTAMP),
                pa.array(engine.rules.keys[rows.slots]),
                self._coder.texts(rows.values) if is_text else pa.array(rows.values),
                pa.array(rows.statuses),
                pa.array(rows.received).cast(TIMESTAMP),
            ],
            schema=TEXTS_SCHEMA if is_text else READINGS_SCHEMA,
        )

    def _forget_rejected(self, rejects: pa.RecordBatch) -> None:
        keys = self._known(rejects.column("sensor_id").unique().to_pylist())
        for engine in (self._numbers, self._texts):
            slots = engine.slots_of(keys)
            engine.forget(slots[slots >= 0])

    def _known(self, sensor_ids: Iterable[str | None]) -> npt.NDArray[np.int32]:
        keys = (self._catalog.get(sensor_id) for sensor_id in sensor_ids if sensor_id is not None)
        return np.array([key for key in keys if key is not None], dtype=np.int32)

    def _slots_of(self, engine: Engine, source: str) -> npt.NDArray[np.intp]:
        if source not in self._sources:
            return np.zeros(0, dtype=np.intp)
        return np.flatnonzero(self._source_of[engine.rules.keys] == self._sources.index(source))


def _micros(part: pa.RecordBatch, name: str) -> npt.NDArray[np.int64]:
    # times have no nulls; a cast would cost as much as all the rest of a small batch
    column = part.column(name)
    return np.frombuffer(column.buffers()[1], np.int64, len(column), column.offset * 8)
