"""The reader's side of the window buffer: any process, beside the writer or without it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from resources.core.clock import from_micros, to_micros
from resources.window_buffer.books import Tally
from resources.window_buffer.contents import WindowContents
from resources.window_buffer.disk.frames import Damage, scan
from resources.window_buffer.disk.index import INDEX_NAME, SEGMENTS, Index, Row, source_counts
from resources.window_buffer.disk.segments import map_file, segment_name
from resources.window_buffer.model import (
    BufferedWindow,
    BufferState,
    ClockAlarm,
    Gap,
    SourceCounts,
    WindowNotHeldError,
)
from resources.window_buffer.reading.assemble import Assembler

POLL_S = 0.05


class BufferReader:
    """Reads a buffer folder; a folder that does not exist yet is an empty buffer. Safe in several threads."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; nothing is opened yet."""
        self._folder = folder

    @contextmanager
    def _index(self) -> Iterator[Index | None]:
        """Yield the index of this moment, None if the buffer was never made."""
        if not (self._folder / INDEX_NAME).exists():
            yield None
            return
        index = Index(self._folder, read_only=True)
        try:
            yield index if index.has_tables() else None
        finally:
            index.close()

    def windows(self) -> list[BufferedWindow]:
        """Return the last closed revision of every held window, oldest first."""
        with self._index() as index:
            return [] if index is None else index.buffered_windows()

    def wait_for_change(self, token: str, timeout_s: float) -> str:
        """Wait until a revision has closed since `token` was returned, at most `timeout_s`; return the new token.

        The token is opaque and may be kept in a cursor; `""` returns at once. An unchanged token means time-out.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            # before the index is opened: one that is made anew in between is then another, and opened once more
            inode = self._inode()
            try:
                with self._index() as index:
                    found = token if index is None else self._wait(index, inode, token, deadline)
            except (sqlite3.OperationalError, FileNotFoundError):
                found = token  # the folder is being removed or made anew; if it stays so, reading it says why
            if found != token or time.monotonic() >= deadline:
                return found
            time.sleep(POLL_S)

    def _inode(self) -> int | None:
        """Return which file the index is; None while there is none."""
        try:
            return (self._folder / INDEX_NAME).stat().st_ino
        except FileNotFoundError:
            return None

    def _wait(self, index: Index, inode: int | None, token: str, deadline: float) -> str:
        """Poll one open index; a folder that was made anew is seen because the file is another."""
        while True:
            # read first: what changes after it, also before the token is read, ends the wait below
            version = index.data_version()
            found = index.change_token() or token
            if found != token or time.monotonic() >= deadline:
                return found
            while index.data_version() == version and time.monotonic() < deadline:
                time.sleep(POLL_S)
                if self._inode() != inode:
                    return token

    def read(self, window_start: datetime) -> WindowContents:
        """Return the last closed revision of a window, deduplicated and sorted.

        Raises:
            WindowNotHeldError: No closed revision of this window is held.
        """
        with self._index() as index:
            rows = [] if index is None else index.window_rows("start = ?", (to_micros(window_start),))
            held = bool(rows) and index is not None and index.is_held(to_micros(window_start))
            collector = "" if index is None else index.meta("collector", "")
        if not rows or not held or rows[0][4] is None:
            raise self._not_held(window_start, "it is still open" if held else "dropped" if rows else "never opened")
        start, end, generation, revision, _, size, _, _, _, complete, partial, _, expected, damaged = rows[0]
        try:
            data = map_file(self._folder / SEGMENTS / segment_name(start, generation), size) if size else b""
        except FileNotFoundError as error:
            raise self._not_held(window_start, "dropped this moment, or its segment was deleted") from error
        items = list(scan(data, 0, len(data)))
        known = self._sensors() if any(isinstance(item, Damage) for item in items) else []
        tables = Assembler(items, start, collector, known).tables()
        return WindowContents(
            collector=collector,
            window_start=from_micros(start),
            window_end=from_micros(end),
            revision=revision,
            sensors=tables.sensors,
            readings=tables.readings,
            texts=tables.texts,
            rejects=tables.rejects,
            deduplicated=tables.deduplicated,
            complete=bool(complete) and not damaged and not tables.damaged_bytes,
            partial=bool(partial),
            expected_sources=tuple(json.loads(expected)),
        )

    def _sensors(self) -> list[Row]:
        with self._index() as index:
            return [] if index is None else index.all("SELECT key, sensor_id, unit, source FROM sensors")

    def _not_held(self, window_start: datetime, state: str) -> WindowNotHeldError:
        return WindowNotHeldError(
            f"window {window_start:%Y-%m-%dT%H:%M} cannot be read from the buffer {self._folder}: {state}; "
            "its stored rows stay as they are; a configured historian can backfill it",
            window_start=window_start,
        )

    def gaps(self) -> list[Gap]:
        """Return all gaps, oldest first."""
        with self._index() as index:
            return [] if index is None else index.gaps()

    def counts(self) -> dict[str, SourceCounts]:
        """Return source -> counters as of the writer's last checkpoint (at most a second or one tick old)."""
        with self._index() as index:
            return {} if index is None else source_counts(index.raw_counts())

    def state(self) -> BufferState:
        """Return what health and metrics show, as of the writer's last checkpoint."""
        with self._index() as index:
            if index is None:
                return BufferState(0, 0, 0, False, 0, 0, 0, (), 0, 0.0, 0)
            tally = Tally.load(index)
            held_rows: dict[str, int] = dict(index.all("SELECT source, sum(rows) FROM held GROUP BY source"))
            held_bytes = index.all("SELECT coalesce(sum(bytes), 0) FROM held")[0][0]
            windows, size, damaged = index.all(
                "SELECT count(*), coalesce(sum(bytes), 0), coalesce(sum(damaged), 0) FROM windows WHERE held"
            )[0]
        return BufferState(
            held_windows=windows,
            bytes=size + held_bytes,
            max_bytes=tally.max_bytes,
            full=tally.full,
            pending_rows=0,
            dropped_windows=tally.dropped_windows,
            dropped_early=tally.dropped_early,
            clock_alarms=tuple(
                ClockAlarm(source, from_micros(since), held_rows.get(source, 0))
                for source, since in sorted((tally.clock_alarms or {}).items())
            ),
            clock_steps=tally.clock_steps,
            last_clock_step_s=tally.last_clock_step_s,
            damaged_bytes=damaged,
        )

    def heartbeat(self) -> datetime | None:
        """Return when the writer last saved its state, None if there never was one."""
        with self._index() as index:
            saved = None if index is None else index.meta("heartbeat")
        return None if saved is None else from_micros(saved)
