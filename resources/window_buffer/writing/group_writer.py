"""Writes rows into segments as one durable group: all frames, then the fsyncs, and on failure none of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow.compute as pc

from resources.core.clock import Clock, to_micros
from resources.window_buffer.disk.columns import Columns, Rows, TextRows
from resources.window_buffer.disk.frames import Buffer, Stamp, encode
from resources.window_buffer.disk.segments import SegmentFolder
from resources.window_buffer.held import HeldFile
from resources.window_buffer.model import BufferFullError
from resources.window_buffer.sensors import Sensors
from resources.window_buffer.windows import Window

Counts = dict[str, dict[str, int]]


@dataclass(slots=True)
class Target:
    """Rows, and the file that takes them."""

    file: Window | HeldFile
    folder: SegmentFolder
    rows: Rows
    time_base: int
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Prepared:
    target: Target
    at: int
    end: int
    parts: list[Buffer]
    counts: Counts
    new_keys: np.ndarray | None


class GroupWriter:
    """The only place where segments grow."""

    def __init__(self, sensors: Sensors, clock: Clock, make_room: Callable[[int, Sequence[Target]], bool]) -> None:
        """Write for `sensors`.

        Args:
            sensors: What the frames name.
            clock: Stamps the frames.
            make_room: Makes room for so many bytes of these targets; False if it took a target's file away for it,
                BufferFullError if there is no room.
        """
        self._sensors = sensors
        self._clock = clock
        self._make_room = make_room
        self.next_sequence = 0

    def write(self, targets: Sequence[Target], counts: Counts) -> tuple[Counts, int] | None:
        """Make the rows of all targets durable; return what is now counted and the bytes written.

        `counts` ride in the first frame. None: nothing was written, since a target's file went to make room; its
        window has to be opened again first.

        Raises:
            BufferFullError: No room, or the disk refused; every file is as it was.
        """
        sizes: dict[int, int] = {}
        sequence = self.next_sequence
        prepared: list[_Prepared] = []
        for target in targets:
            at = sizes.get(id(target.file), target.file.bytes)
            one = self._prepare(target, at, sequence, counts if not prepared else {})
            sizes[id(target.file)] = one.end
            sequence += target.rows.count
            prepared.append(one)
        size = sum(one.end - one.at for one in prepared)
        if not self._make_room(size, targets):
            return None
        self._write_out(prepared)
        self.next_sequence = sequence
        total = prepared[0].counts
        for one in prepared:
            if one is not prepared[0]:
                merge_counts(total, one.counts)
            self._mark_described(one)
        return total, size

    def _prepare(self, target: Target, at: int, sequence: int, counts: Counts) -> _Prepared:
        rows, file = target.rows, target.file
        counted = self._counted(rows) if isinstance(file, Window) else {}
        merge_counts(counted, counts)
        new_keys = self._new_keys(file, rows)
        sensors = b"" if new_keys is None else self._sensors.describe(new_keys)
        meta = {**target.meta, "c": counted} if counted else target.meta
        stamp = Stamp(
            first_sequence=sequence,
            time_base=target.time_base,
            written_at=to_micros(self._clock.now()),
            sensors=sensors,
            meta=orjson.dumps(meta) if meta else b"",
        )
        parts = encode(rows, stamp)
        length = sum(len(part) if isinstance(part, bytes) else part.nbytes for part in parts)
        return _Prepared(target, at, at + length, parts, counted, new_keys)

    def _counted(self, rows: Rows) -> Counts:
        found: Counts = {}
        for part in (rows.readings, rows.texts):
            if part is not None and len(part):
                numbers = np.bincount(self._sensors.source_code[part.key], minlength=len(self._sensors.sources))
                for source, number in zip(self._sensors.sources, numbers.tolist(), strict=True):
                    if number:
                        some = found.setdefault(source, {})
                        some["buffered"] = some.get("buffered", 0) + number
        if rows.rejects is not None:
            for entry in pc.value_counts(rows.rejects.column("source")).to_pylist():
                merge_counts(found, {entry["values"]: {"rejected": entry["counts"]}})
        return found

    def _new_keys(self, file: Window | HeldFile, rows: Rows) -> np.ndarray | None:
        """Return the sensors that the file does not describe yet; the common answer is None, and quick."""
        parts = [part.key for part in (rows.readings, rows.texts) if part is not None]
        described = file.described
        if described is not None and len(described) == len(self._sensors.source_code):
            if all(described[keys].all() for keys in parts):
                return None
            return np.unique(np.concatenate([keys[~described[keys]] for keys in parts]))
        return np.unique(np.concatenate(parts)) if parts else None

    def _mark_described(self, one: _Prepared) -> None:
        if one.new_keys is None:
            return
        file, size = one.target.file, len(self._sensors.source_code)
        if file.described is None or len(file.described) != size:
            file.described = np.zeros(size, np.bool_)
        file.described[one.new_keys] = True

    @staticmethod
    def _write_out(prepared: list[_Prepared]) -> None:
        try:
            for one in prepared:
                one.target.folder.append(one.target.file.name, one.at, one.parts)
            for folder in {id(one.target.folder): one.target.folder for one in prepared}.values():
                folder.sync()
        except OSError as error:
            for one in prepared:
                with contextlib.suppress(OSError):
                    one.target.folder.cut(one.target.file.name, one.target.file.bytes)
            raise BufferFullError(
                f"window buffer {prepared[0].target.folder.folder}: the disk refused a write ({error.strerror}); "
                "nothing is acknowledged until it takes writes again: free disk space or repair the disk"
            ) from error
        for one in prepared:
            one.target.file.bytes = one.end


def merge_counts(into: Counts, more: Counts) -> None:
    """Add counters to counters."""
    for source, some in more.items():
        there = into.setdefault(source, {})
        for name, number in some.items():
            there[name] = there.get(name, 0) + number


def split_by_window(rows: Columns | TextRows, by: np.ndarray, length_us: int) -> list[tuple[int, Columns | TextRows]]:
    """Return (window start, rows) by the times `by`, each in its old order; almost always there is only one."""
    first, last = int(by.min()) // length_us, int(by.max()) // length_us
    if first == last:
        return [(first * length_us, rows)]
    number = by // length_us
    order = np.argsort(number, kind="stable")
    edges = np.flatnonzero(np.diff(number[order])) + 1
    return [(int(number[part[0]]) * length_us, rows.take(part)) for part in np.split(order, edges)]
