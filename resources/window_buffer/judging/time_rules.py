"""The rules of time: what becomes a reading, what is rejected, what is held until a clock is right again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pyarrow as pa

from resources.core.clock import Clock
from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from resources.window_buffer.disk.columns import Columns, Int32s, Int64s, Mask, Rows, TextRows
from resources.window_buffer.judging.clock_skew import SkewWatch
from resources.window_buffer.judging.rejects import SensorNames, rejected

FUTURE = timedelta(minutes=5)
FUTURE_US = FUTURE // timedelta(microseconds=1)
"""A source time further ahead than this is not believed."""

TOO_OLD = "source time is before the configured start"
TOO_NEW = "source time is more than 5 min ahead of the collector's clock"
UNKNOWN = "sensor number is not in the collector's catalog"
CLOCK_NEVER_RIGHT = "source time was more than 5 min ahead, as most of the source's, for an hour (clock skew)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One appended batch and the wall time (microseconds) it is judged by."""

    batch: ReadingBatch
    now_us: int


@dataclass(slots=True)
class Judged:
    """What the rules made of some batches; sensor keys are the buffer's."""

    readings: list[Columns] = field(default_factory=list)
    texts: list[TextRows] = field(default_factory=list)
    rejects: list[pa.RecordBatch] = field(default_factory=list)
    held: dict[str, list[Rows]] = field(default_factory=dict)
    """Source -> what waits for a clock to come right."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Source -> counter -> increment: received, not_newer, clock_skew; sent of what came only_if_newer."""

    def count(self, source: str, name: str, number: int) -> None:
        """Add to a counter."""
        some = self.counts.setdefault(source, {})
        some[name] = some.get(name, 0) + number


@dataclass(slots=True)
class _Kind:
    """The readings, or the texts, of a run of batches, with what each row needs to be judged."""

    rows: Columns | TextRows
    lengths: list[int]
    entries: list[Entry]
    ahead: Mask | None = None
    keep: Mask | None = None

    def repeat(self, per_entry: Sequence[int]) -> Int64s:
        return np.repeat(np.asarray(per_entry, np.int64), self.lengths)


class TimeRules:
    """Judges batches in order of arrival."""

    def __init__(self, catalog: SensorCatalog, buffer_keys: Int32s, start_us: int, clock: Clock) -> None:
        """Judge the sensors of `catalog`, whose n-th the buffer knows as `buffer_keys[n]`."""
        self._keys = buffer_keys
        self._same_keys = bool(np.array_equal(buffer_keys, np.arange(len(buffer_keys))))
        self._start_us = start_us
        self._clock = clock
        self._names = SensorNames(
            pa.array([s.sensor_id for s in catalog.sensors], pa.string()),
            pa.array([s.unit for s in catalog.sensors], pa.string()),
            pa.array([s.source for s in catalog.sensors], pa.string()),
        )
        self.skew = SkewWatch()

    def judge(self, entries: Sequence[Entry], last_known: Int64s) -> Judged:
        """Return what becomes of the batches; `last_known` (by buffer key) is brought up to date in place."""
        judged = Judged()
        run: list[Entry] = []
        for entry in entries:
            batch = entry.batch
            judged.count(batch.source, "received", batch.rows)
            if batch.only_if_newer:
                # its connector leaves it to us to say which of these were sent as readings
                judged.count(batch.source, "sent", batch.rows)
            if batch.rejects is not None and batch.rejects.num_rows:
                judged.rejects.append(batch.rejects)
            if run and run[-1].batch.only_if_newer != batch.only_if_newer:
                self._judge_run(run, judged, last_known)
                run = []
            run.append(entry)
        if run:
            self._judge_run(run, judged, last_known)
        return judged

    def _judge_run(self, run: list[Entry], judged: Judged, last_known: Int64s) -> None:
        kinds = [kind for kind in (self._readings(run), self._texts(run)) if kind is not None]
        for kind in kinds:
            self._look(kind, judged)
        skewed = self._note_clocks(kinds)
        for kind in kinds:
            if kind.ahead is not None:
                self._set_aside(kind, skewed, judged)
            self._keep(kind, judged, last_known)

    @staticmethod
    def _readings(run: list[Entry]) -> _Kind | None:
        entries = [e for e in run if e.batch.readings is not None and e.batch.readings.num_rows]
        if not entries:
            return None
        batches: list[pa.RecordBatch] = [e.batch.readings for e in entries]
        return _Kind(Columns.from_batches(batches), [b.num_rows for b in batches], entries)

    @staticmethod
    def _texts(run: list[Entry]) -> _Kind | None:
        entries = [e for e in run if e.batch.texts is not None and e.batch.texts.num_rows]
        if not entries:
            return None
        batches: list[pa.RecordBatch] = [e.batch.texts for e in entries]
        return _Kind(TextRows.from_batches(batches), [b.num_rows for b in batches], entries)

    def _look(self, kind: _Kind, judged: Judged) -> None:
        """Reject what is unknown or too old; mark what is ahead. The way of good rows is three comparisons."""
        rows = kind.rows
        # a negative number is a large one when taken for unsigned
        if rows.key.view(np.uint32).max() >= len(self._keys):
            self._reject(kind, (rows.key < 0) | (rows.key >= len(self._keys)), UNKNOWN, judged)
        if rows.time.min() < self._start_us:
            self._reject(kind, rows.time < self._start_us, TOO_OLD, judged)
        if rows.time.max() > min(e.now_us for e in kind.entries) + FUTURE_US:
            ahead = rows.time > kind.repeat([e.now_us for e in kind.entries]) + FUTURE_US
            kind.ahead = ahead if kind.keep is None else ahead & kind.keep

    def _note_clocks(self, kinds: list[_Kind]) -> set[str]:
        totals: dict[str, int] = {}
        futures: dict[str, int] = {}
        for kind in kinds:
            at = 0
            for entry, length in zip(kind.entries, kind.lengths, strict=True):
                source = entry.batch.source
                totals[source] = totals.get(source, 0) + length
                if kind.ahead is not None:
                    futures[source] = futures.get(source, 0) + int(kind.ahead[at : at + length].sum())
                at += length
        return {s for s, total in totals.items() if self.skew.note(s, self._clock, total, futures.get(s, 0))}

    def _set_aside(self, kind: _Kind, skewed: set[str], judged: Judged) -> None:
        """Hold what is ahead if its source's clock seems wrong, else reject it."""
        ahead = kind.ahead
        assert ahead is not None
        held = np.zeros(len(ahead), np.bool_)
        for source in skewed:
            theirs = kind.repeat([e.batch.source == source for e in kind.entries]).astype(np.bool_) & ahead
            if theirs.any():
                held |= theirs
                rows = self._translated(kind.rows.take(theirs))
                part = Rows(readings=rows) if isinstance(rows, Columns) else Rows(texts=rows)
                judged.held.setdefault(source, []).append(part)
                judged.count(source, "clock_skew", len(rows))
        self._reject(kind, ahead & ~held, TOO_NEW, judged)
        kind.keep = ~ahead if kind.keep is None else kind.keep & ~ahead

    def _reject(self, kind: _Kind, mask: Mask, reason: str, judged: Judged) -> None:
        if kind.keep is not None:
            mask = mask & kind.keep
        if mask.any():
            rows = kind.rows.take(mask)
            number = np.where(rows.key < len(self._keys), rows.key, -1).astype(np.int64)
            batch = rejected(rows, reason, self._names, number)
            if reason == UNKNOWN:
                sources = [
                    s
                    for s, n in zip((e.batch.source for e in kind.entries), kind.lengths, strict=True)
                    for _ in range(n)
                ]
                batch = batch.set_column(
                    2, batch.schema.field(2), pa.array(sources, pa.string()).filter(pa.array(mask))
                )
            judged.rejects.append(batch)
            kind.keep = ~mask if kind.keep is None else kind.keep & ~mask

    def _keep(self, kind: _Kind, judged: Judged, last_known: Int64s) -> None:
        rows = kind.rows
        if kind.entries[0].batch.only_if_newer:
            rows = self._only_newer(kind, judged, last_known)
        elif kind.keep is not None:
            rows = rows.take(kind.keep)
        if not len(rows):
            return
        if not kind.entries[0].batch.only_if_newer:
            rows = self._translated(rows)
        np.maximum.at(last_known, rows.key, rows.time)
        if isinstance(rows, Columns):
            judged.readings.append(rows)
        else:
            judged.texts.append(rows)

    def _only_newer(self, kind: _Kind, judged: Judged, last_known: Int64s) -> Columns | TextRows:
        """Return what is newer than the last known time; batch by batch, since one may repeat another."""
        kept: list[Columns | TextRows] = []
        known = last_known.copy()
        at = 0
        for entry, length in zip(kind.entries, kind.lengths, strict=True):
            chosen = np.arange(at, at + length)
            at += length
            if kind.keep is not None:
                chosen = chosen[kind.keep[chosen]]
            rows = self._translated(kind.rows.take(chosen))
            newer = rows.time > known[rows.key]
            known_before = int(len(newer) - newer.sum())
            judged.count(entry.batch.source, "not_newer", known_before)
            judged.count(entry.batch.source, "sent", -known_before)
            rows = rows.take(newer)
            np.maximum.at(known, rows.key, rows.time)
            kept.append(rows)
        concat = Columns.concat if isinstance(kind.rows, Columns) else TextRows.concat
        return concat(kept)  # type: ignore[arg-type]

    def _translated(self, rows: Columns | TextRows) -> Columns | TextRows:
        if self._same_keys and isinstance(rows, Columns):
            return rows
        return rows.with_keys(self._keys[rows.key])
