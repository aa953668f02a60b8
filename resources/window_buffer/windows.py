"""Windows and their revisions: what opens, what closes and when, what may be dropped.

A window is open while it was never closed, or its segment is longer than at its last close. Nothing else is stored:
after a crash that is found again from the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import structlog

from resources.core.clock import Clock, from_micros, to_micros
from resources.core.windows import WindowGrid, partition_key
from resources.window_buffer.disk.columns import Mask
from resources.window_buffer.disk.index import Index, Row
from resources.window_buffer.disk.segments import SegmentFolder, segment_name
from resources.window_buffer.model import ClosedWindow

log = structlog.get_logger(__name__)

QUIET_S = 30.0
"""A late revision closes after this long without a reading."""
LATEST_S = 300.0
"""...and at most this long after its first late reading."""
NOT_HEARD = -1
"""Stored revision of a window whose index row was lost, until the ledger is heard: its own revision is a guess."""


@dataclass(slots=True)
class Window:
    """One held window: its row in the index, and what only this process needs."""

    start: int
    end: int
    generation: int = 0
    revision: int = 0
    closed_at: int | None = None
    closed_bytes: int = 0
    closed_rows: int = 0
    bytes: int = 0
    rows: int = 0
    complete: bool = True
    partial: bool = False
    stored_revision: int = 0
    expected: frozenset[str] = frozenset()
    damaged: int = 0

    deadline: float | None = None
    """Monotonic time of the first close; None for a window that only late readings opened."""
    first_late: float | None = None
    last_late: float | None = None
    described: Mask | None = None
    """By buffer key: True if this segment names the sensor already, as far as this process knows."""
    dirty: bool = False
    """True if the index row is behind."""

    @property
    def is_open(self) -> bool:
        """True if a revision collects."""
        return self.closed_at is None or self.bytes > self.closed_bytes

    name: str = field(init=False, default="")
    """File name of the segment."""

    def __post_init__(self) -> None:
        """Name the segment once: it is asked for in every commit."""
        self.name = segment_name(self.start, self.generation)

    @property
    def key(self) -> str:
        """Partition key, for logs."""
        return partition_key(from_micros(self.start))

    def is_described(self, keys: np.ndarray) -> bool:
        """Return True if the segment names all these sensors."""
        return self.described is not None and bool(self.described[keys].all())


class Windows:
    """All held windows, in memory and in the index."""

    def __init__(self, index: Index, segments: SegmentFolder, grid: WindowGrid, grace: timedelta, clock: Clock) -> None:
        """Load the held windows."""
        self._index = index
        self._segments = segments
        self._grid = grid
        self._grace_us = grace // timedelta(microseconds=1)
        self._clock = clock
        self._foreign: dict[int, int] = {}
        self._unsaved: list[Window] = []
        self.held: dict[int, Window] = {}
        for row in index.window_rows("held"):
            window = _from_row(row)
            self.held[window.start] = window

    def resume(self, expected: frozenset[str]) -> None:
        """Go on with the windows that a run before left open; the sources of this run are expected in them too."""
        for window in self.held.values():
            self._schedule(window)
            if window.deadline is not None and not expected <= window.expected:
                window.expected |= expected
                window.dirty = True

    def open(self, starts: Iterable[int], expected: frozenset[str]) -> None:
        """Open the windows of `starts` that are not held, durably."""
        new = [start for start in starts if start not in self.held]
        if not new:
            return
        opened = []
        with self._index.transaction():
            for start in new:
                window = self._dropped(start) or Window(start, start + self._grid.length_us)
                self._schedule(window)
                if window.deadline is not None:
                    window.expected = expected
                self._insert(window)
                opened.append(window)
        # only now: a full disk must not leave windows in memory that the index does not have
        self.held.update((window.start, window) for window in opened)

    def adopt(self, window: Window) -> None:
        """Take over a window whose segment was found without an index row."""
        self._insert(window)
        self.held[window.start] = window

    def _dropped(self, start: int) -> Window | None:
        """Return a dropped window, ready to begin again: above its old revisions, and never complete again."""
        rows = self._index.window_rows("start = ? AND NOT held", (start,))
        if not rows:
            return None
        old = _from_row(rows[0])
        return Window(
            old.start, old.end, old.generation + 1, old.revision, complete=False, stored_revision=old.stored_revision
        )

    def _schedule(self, window: Window) -> None:
        left_us = window.end + self._grace_us - to_micros(self._clock.now())
        if window.closed_at is None and window.revision == 0 and left_us > 0:
            window.deadline = self._clock.monotonic() + left_us / 1e6
        elif window.is_open and window.bytes and window.revision:
            window.first_late = window.last_late = self._clock.monotonic()

    def note_rows(self, window: Window, size: int, rows: int) -> None:
        """Note that a segment has grown; a window that had closed is open again."""
        window.bytes, window.rows, window.dirty = size, window.rows + rows, True
        if window.deadline is None:
            now = self._clock.monotonic()
            window.first_late = now if window.first_late is None else window.first_late
            window.last_late = now

    def due(self) -> list[Window]:
        """Return the windows to be closed now, oldest first."""
        now_us, now = to_micros(self._clock.now()), self._clock.monotonic()
        return [
            window for _, window in sorted(self.held.items()) if window.is_open and self._is_due(window, now_us, now)
        ]

    def _is_due(self, window: Window, now_us: int, now: float) -> bool:
        if window.deadline is not None:
            # whichever clock gets there first: the wall clock may be set back, the monotonic one stands still in sleep
            return now >= window.deadline or now_us >= window.end + self._grace_us
        if window.first_late is None or window.last_late is None:
            return True  # opened by a run that ended before the window did
        return now - window.last_late >= QUIET_S or now - window.first_late >= LATEST_S

    def close(self, windows: Iterable[Window]) -> list[ClosedWindow]:
        """Close the next revision of each window, in one transaction; a revision is never closed twice."""
        now_us = to_micros(self._clock.now())
        after = [
            replace(
                window,
                revision=window.revision + 1,
                closed_at=now_us,
                closed_bytes=window.bytes,
                closed_rows=window.rows,
                deadline=None,
                first_late=None,
                last_late=None,
            )
            for window in windows
        ]
        if not after:
            return []
        with self._index.transaction():
            for window in after:
                self._save(window)
            self._index.note_change()
        for window in after:
            self._unsaved.append(self.held[window.start])
            self.held[window.start] = window
            self._segments.trim(window.name)
            log.info("window_closed", window=window.key, revision=window.revision, rows=window.rows)
        return [ClosedWindow(from_micros(w.start), w.revision, w.rows, w.partial) for w in after]

    def settle(self, *, saved: bool) -> None:
        """Say whether the transaction around the last closes is durable; if not, they did not happen."""
        if not saved:
            # the oldest last: one window may have changed twice
            self.held.update((window.start, window) for window in reversed(self._unsaved))
            self._foreign.clear()
        self._unsaved.clear()

    def mark_partial(self, start: int) -> None:
        """Mark the window that starts at `start`, if it is held."""
        window = self.held.get(start)
        if window is not None and not window.partial:
            window.partial = True
            with self._index.transaction():
                self._save(window)

    def hear_of_stored(self, ledger: Mapping[int, int]) -> list[Window]:
        """Take the ledger's revisions by window start; return the held windows that must close again above them."""
        behind = []
        with self._index.transaction():
            for start, known in self.held.items():
                window, stored = known, ledger.get(start, 0)
                guessed = window.stored_revision == NOT_HEARD and window.revision == stored > 0
                if stored > window.revision or guessed:
                    # stored by a buffer whose folder is gone: what it held is in the table only; or by this one, whose
                    # index is gone: what came after that revision is in the segment only
                    self._unsaved.append(known)
                    window = self.held[start] = replace(known, revision=stored, complete=False, dirty=True)
                    if window.closed_at is not None:
                        behind.append(window)
                if stored != window.stored_revision:
                    window.stored_revision, window.dirty = stored, True
                if window.dirty:
                    self._save(window)
            self._remember_foreign(ledger)
        return behind

    def _remember_foreign(self, ledger: Mapping[int, int]) -> None:
        rows = [
            (start, start + self._grid.length_us, stored, stored)
            for start, stored in ledger.items()
            if start not in self.held and stored > 0 and self._foreign.get(start) != stored
        ]
        self._foreign.update((start, stored) for start, _, stored, _ in rows)
        self._index.run_many(
            "INSERT INTO windows (start, end, generation, revision, closed_bytes, closed_rows, bytes, rows, complete, "
            "partial, held, stored_revision, expected) VALUES (?, ?, 0, ?, 0, 0, 0, 0, 0, 0, 0, ?, '[]') "
            "ON CONFLICT (start) DO UPDATE SET revision = max(revision, excluded.revision), "
            "stored_revision = excluded.stored_revision WHERE NOT held",
            rows,
        )

    def droppable(self, retention: timedelta | None) -> list[Window]:
        """Return the windows whose last revision is stored, closed `retention` ago (None: whenever), oldest first."""
        now_us = to_micros(self._clock.now())
        age = 0 if retention is None else retention // timedelta(microseconds=1)
        return [
            window
            for _, window in sorted(self.held.items())
            if not window.is_open
            and window.stored_revision >= window.revision
            and (retention is None or now_us - (window.closed_at or now_us) >= age)
        ]

    def drop(self, windows: list[Window]) -> None:
        """Forget windows: first in the index, then their files, so that a crash leaves a stray file at most."""
        if not windows:
            return
        with self._index.transaction():
            for window in windows:
                self._index.run(
                    "UPDATE windows SET held = 0, complete = 0, bytes = 0, rows = 0, closed_bytes = 0, closed_rows = 0 "
                    "WHERE start = ?",
                    (window.start,),
                )
        for window in windows:
            del self.held[window.start]
            self._segments.remove(window.name)
            log.info("window_dropped", window=window.key, revision=window.revision)

    def save_dirty(self) -> None:
        """Write the index rows that are behind."""
        for window in self.held.values():
            if window.dirty:
                self._save(window)

    def _insert(self, window: Window) -> None:
        self._index.run(
            "INSERT OR REPLACE INTO windows (start, end, generation, revision, closed_at, closed_bytes, closed_rows, "
            "bytes, rows, complete, partial, held, stored_revision, expected, damaged) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
            (window.start, window.end, window.generation, *_values(window)),
        )
        window.dirty = False

    def _save(self, window: Window) -> None:
        # the whole row: the transaction that opened the window may have been rolled back since
        self._insert(window)


def _values(window: Window) -> tuple[object, ...]:
    return (
        window.revision, window.closed_at, window.closed_bytes, window.closed_rows, window.bytes, window.rows,
        window.complete, window.partial, window.stored_revision, json.dumps(sorted(window.expected)), window.damaged,
    )  # fmt: skip


def _from_row(row: Row) -> Window:
    *numbers, complete, partial, stored, expected, damaged = row
    values: list[Any] = numbers
    window = Window(*values)
    window.complete, window.partial, window.stored_revision = bool(complete), bool(partial), stored
    window.expected, window.damaged = frozenset(json.loads(expected)), damaged
    return window
