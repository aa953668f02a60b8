"""From judged batches to durable rows in the right windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.core.clock import Clock, to_micros
from resources.window_buffer.books import CountBook, Tally
from resources.window_buffer.disk.columns import Columns, Rows, TextRows, to_numpy
from resources.window_buffer.disk.segments import SegmentFolder
from resources.window_buffer.held import HeldFile, HeldReadings
from resources.window_buffer.judging.rejects import rejected
from resources.window_buffer.judging.time_rules import CLOCK_NEVER_RIGHT, FUTURE_US, TOO_NEW, TimeRules
from resources.window_buffer.model import BufferFullError
from resources.window_buffer.sensors import Sensors
from resources.window_buffer.windows import Window, Windows
from resources.window_buffer.writing.group_writer import Counts, GroupWriter, Target, merge_counts, split_by_window
from resources.window_buffer.writing.intake import Taken


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings a commit needs."""

    collector: str
    start_us: int
    length_us: int
    sources: frozenset[str]


@dataclass(frozen=True, slots=True)
class Parts:
    """The stores a commit writes to."""

    folder: Path
    segments: SegmentFolder
    held_files: SegmentFolder
    sensors: Sensors
    windows: Windows
    held: HeldReadings
    counts: CountBook


@dataclass(slots=True)
class _Group:
    """One commit, judged and not yet durable; it survives a full disk as it is, so nothing is judged twice."""

    groups: dict[int, Rows]
    held: list[tuple[str, int, Rows]]
    counts: Counts
    rows: int
    acknowledgements: list[Callable[[], None]] = field(default_factory=list)


class Committer:
    """Makes taken batches durable; one thread at a time."""

    def __init__(self, parts: Parts, rules: TimeRules, limits: Limits, tally: Tally, clock: Clock) -> None:
        """Write into `parts` by `rules` within `limits`; what is dropped early is counted in `tally`."""
        self._tally = tally
        self._parts = parts
        self._rules = rules
        self._limits = limits
        self._clock = clock
        self.writer = GroupWriter(parts.sensors, clock, self._make_room)
        self.acknowledgements: list[Callable[[], None]] = []
        """Owed, since their batches are durable."""
        self.rows = 0
        """Rows made durable and not reported yet."""
        self._stalled: _Group | None = None
        self._used = 0
        self.measure()

    @property
    def stalled_rows(self) -> int:
        """Rows taken that found no room yet."""
        return 0 if self._stalled is None else self._stalled.rows

    @property
    def used_bytes(self) -> int:
        """Bytes in all files."""
        return self._used

    def measure(self) -> None:
        """Count the bytes in all files anew, after files were removed."""
        held = sum(file.bytes for file in self._parts.held.files.values())
        self._used = held + sum(window.bytes for window in self._parts.windows.held.values())

    def retry(self) -> None:
        """Write what found no room before.

        Raises:
            BufferFullError: There still is none.
        """
        if self._stalled is not None:
            self._write(self._stalled)
            self._stalled = None

    def commit(self, taken: Taken) -> bool:
        """Make `taken` durable; return False if there were no rows, so that its counts wait for the next checkpoint.

        Raises:
            BufferFullError: No room; it is kept for `retry`.
        """
        group = self._judge(taken)
        try:
            self._write(group)
        except BufferFullError:
            self._stalled = group
            raise
        return bool(group.groups or group.held)

    def _judge(self, taken: Taken) -> _Group:
        sensors = self._parts.sensors
        judged = self._rules.judge(taken.entries, sensors.last_known)
        sensors.dirty = True
        groups: dict[int, Rows] = {}
        if judged.readings:
            readings = Columns.concat(judged.readings)
            self._spread(groups, readings, readings.time)
        if judged.texts:
            texts = TextRows.concat(judged.texts)
            self._spread(groups, texts, texts.time)
        for rejects in judged.rejects:
            self._spread_rejects(groups, rejects)
        held = [
            (source, *one) for source, parts in judged.held.items() for part in parts for one in self._by_window(part)
        ]
        counts = judged.counts
        if taken.increments:
            merge_counts(counts, taken.increments)
        acknowledgements = [e.batch.acknowledge for e in taken.entries if e.batch.acknowledge is not None]
        return _Group(groups, held, counts, taken.rows, acknowledgements)

    def _by_window(self, part: Rows) -> list[tuple[int, Rows]]:
        found: dict[int, Rows] = {}
        for rows in (part.readings, part.texts):
            if rows is not None:
                self._spread(found, rows, rows.time)
        return list(found.items())

    def _spread(self, groups: dict[int, Rows], rows: Columns | TextRows, by: np.ndarray) -> None:
        for start, part in split_by_window(rows, by, self._limits.length_us):
            group = groups.setdefault(start, Rows())
            if isinstance(part, Columns):
                group.readings = part if group.readings is None else Columns.concat([group.readings, part])
            else:
                group.texts = part if group.texts is None else TextRows.concat([group.texts, part])

    def _spread_rejects(self, groups: dict[int, Rows], rejects: pa.RecordBatch) -> None:
        """Put rejects into the window of their source time, or of receipt where that is not to be believed."""
        now = to_micros(self._clock.now())
        time, received = to_numpy(rejects.column(0), np.int64), to_numpy(rejects.column(5), np.int64)
        told = pc.is_valid(rejects.column(0)).to_numpy(zero_copy_only=False)
        told &= (time >= self._limits.start_us) & (time <= now + FUTURE_US)
        received = np.where((received >= self._limits.start_us) & (received <= now + FUTURE_US), received, now)
        number = np.where(told, time, received) // self._limits.length_us
        for one in np.unique(number):
            part = rejects.take(pa.array(np.flatnonzero(number == one)))
            group = groups.setdefault(int(one) * self._limits.length_us, Rows())
            group.rejects = part if group.rejects is None else pa.concat_batches([group.rejects, part])

    def _write(self, group: _Group, tag: int | None = None) -> None:
        windows = self._parts.windows
        written = None
        while written is None:
            windows.open(group.groups, self._limits.sources)
            held = windows.held
            targets = [self._window_target(held[start], rows, tag) for start, rows in sorted(group.groups.items())]
            targets += [self._held_target(*one) for one in group.held]
            written = self.writer.write(targets, group.counts) if targets else (group.counts, 0)
        counted, size = written
        self._used += size
        self._parts.counts.add(counted)
        for target in targets:
            if isinstance(target.file, Window):
                windows.note_rows(target.file, target.file.bytes, target.rows.count)
            else:
                target.file.rows += target.rows.count
                target.file.dirty = True
        self.rows += group.rows
        self.acknowledgements += group.acknowledgements

    def _window_target(self, window: Window, rows: Rows, tag: int | None) -> Target:
        meta: dict[str, Any] = {} if tag is None else {"m": tag}
        if window.bytes == 0:
            meta["w"] = {"collector": self._limits.collector, "end": window.end, "complete": window.complete}
        return Target(window, self._parts.segments, rows, window.start, meta)

    def _held_target(self, source: str, start: int, rows: Rows) -> Target:
        part = rows.readings if rows.readings is not None else rows.texts
        assert part is not None
        ahead = int(np.median(part.time)) - to_micros(self._clock.now())
        file = self._parts.held.file_for(source, ahead)
        meta = {} if file.bytes else {"h": [file.source, file.minute, file.ahead]}
        return Target(file, self._parts.held_files, rows, start, meta)

    def move(self, file: HeldFile, done: frozenset[int] = frozenset()) -> None:
        """Move held rows into their windows, as readings or as rejects, by the file's verdict.

        Args:
            file: What is moved; its verdict is durable already.
            done: Starts of windows that a crash found already written.

        Raises:
            BufferFullError: No room; nothing was moved.
        """
        rows = self._parts.held.read(file)
        groups: dict[int, Rows] = {}
        for part in (rows.readings, rows.texts):
            if part is not None:
                self._decide(groups, part, file)
        group = _Group({start: rows for start, rows in groups.items() if start not in done}, [], {}, 0)
        if group.groups:
            self._write(group, tag=file.held_id)

    def _decide(self, groups: dict[int, Rows], part: Columns | TextRows, file: HeldFile) -> None:
        sensors = self._parts.sensors
        if file.verdict == "reject":
            batch = rejected(part, CLOCK_NEVER_RIGHT, sensors.names, part.key.astype(np.int64))
            self._spread_rejects_by_receipt(groups, batch)
            return
        good = part.time <= to_micros(self._clock.now()) + FUTURE_US
        if not good.all():
            bad = part.take(~good)
            batch = rejected(bad, TOO_NEW, sensors.names, bad.key.astype(np.int64))
            self._spread_rejects_by_receipt(groups, batch)
            part = part.take(good)
        if len(part):
            np.maximum.at(sensors.last_known, part.key, part.time)
            sensors.dirty = True
            self._spread(groups, part, part.time)

    def _spread_rejects_by_receipt(self, groups: dict[int, Rows], rejects: pa.RecordBatch) -> None:
        # the clock decided that the source time is wrong, so it names no window
        number = to_numpy(rejects.column(5), np.int64) // self._limits.length_us
        for one in np.unique(number):
            part = rejects.take(pa.array(np.flatnonzero(number == one)))
            group = groups.setdefault(int(one) * self._limits.length_us, Rows())
            group.rejects = part if group.rejects is None else pa.concat_batches([group.rejects, part])

    def _make_room(self, wanted: int, targets: Sequence[Target]) -> bool:
        """Let `wanted` bytes fit under the cap, by dropping stored windows early if need be, oldest first.

        Windows among the targets go last: only what is in their files can be replaced as a whole. They do go before
        the buffer is full, since a backlog may reach into every stored window. Return False if one of them went.
        """
        excess = self._used + wanted - self._tally.max_bytes
        if excess <= 0:
            return True
        written_to = {target.file.start for target in targets if isinstance(target.file, Window)}
        victims: list[Window] = []
        for window in sorted(self._parts.windows.droppable(None), key=lambda one: one.start in written_to):
            if excess <= 0:
                break
            if window.bytes:
                victims.append(window)
                excess -= window.bytes
        if victims:
            self._parts.windows.drop(victims)
            self._tally.dropped_windows += len(victims)
            self._tally.dropped_early += len(victims)
            self.measure()
        if excess > 0:
            raise BufferFullError(
                f"window buffer {self._parts.folder}: {self._used} of {self._tally.max_bytes} bytes are used and no "
                "stored window is left to drop; nothing is acknowledged until windows are stored: look at the database "
                "and at the runs of scada/sensor_readings, or raise buffer.max_bytes"
            )
        return not any(window.start in written_to for window in victims)
