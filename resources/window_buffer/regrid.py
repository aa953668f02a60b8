"""Cutting a buffer's folder to another window length, once everything in it is stored.

The folder itself stays: sensors with their last known times, receive sequence, counters, gaps and readings held for a
wrong clock go on. A folder made anew would lose them, and until it heard of the ledger it would take a window that is
half stored for one of its own and replace it. So the windows of the new length that the ledger knows are written into
the index as dropped ones: late readings for them are merged.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from resources.core.clock import from_micros, to_micros
from resources.core.errors import DataError
from resources.core.process.durable_file import sync_folder
from resources.core.windows import WindowGrid
from resources.window_buffer.disk.index import INDEX_NAME, SEGMENTS, Index
from resources.window_buffer.disk.segments import WriterLock, parse_segment_name, segment_name

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A window that must not be set aside yet; `window_start` is None for what belongs to no window."""

    window_start: datetime | None
    why: str


class BufferRegrid:
    """The right to cut one buffer anew: holds the writer's lock, so no collector can run meanwhile.

    Raises:
        BufferLockedError: A collector runs on this folder.
        DataError: The folder holds no index, or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock and open the index."""
        if not (folder / INDEX_NAME).exists():
            raise DataError(f"{folder} is no window buffer: it has no {INDEX_NAME}")
        self._folder = folder
        self._lock = WriterLock(folder)
        try:
            self._index = Index(folder)
        except sqlite3.DatabaseError as error:
            self._lock.release()
            raise DataError(
                f"window buffer {folder}: its index cannot be read ({error}); start the collector once with the old "
                "window length, which mends it from the segments"
            ) from error

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the folder back."""
        self._index.close()
        self._lock.release()

    @property
    def collector(self) -> str:
        """Name of the collector whose buffer this is."""
        return str(self._index.meta("collector", ""))

    @property
    def length(self) -> timedelta | None:
        """The window length of the buffer, None where no collector ever opened it."""
        found = self._index.meta("window_us")
        return None if found is None else timedelta(microseconds=found)

    @property
    def held(self) -> int:
        """How many windows it holds."""
        return len(self._index.window_rows("held"))

    def unfinished(self, ledger: Mapping[datetime, int] | None) -> list[Unfinished]:
        """Return what is not stored at its last revision, oldest first.

        Args:
            ledger: Window start -> stored revision; None where the ledger is cut anew already: then what the collector
                last heard from it counts.
        """
        found = []
        sizes = self._sizes()
        for row in self._index.window_rows("held"):
            start, _, generation, revision, closed_at, closed_bytes, *_, stored, _, _ = row
            name = segment_name(start, generation)
            size = sizes.pop(name, 0)
            known = stored if ledger is None else ledger.get(from_micros(start), 0)
            why = self._why_not(name, closed_at and closed_bytes, size, revision, known)
            if why:
                found.append(Unfinished(from_micros(start), why))
        found += [
            Unfinished(None, f"segment {name} is not in the index")
            for name in sorted(sizes)
            if self._is_unknown(name) and self._has_bytes(name, 0)
        ]
        if self._index.all("SELECT 1 FROM held WHERE verdict IS NOT NULL"):
            found.append(Unfinished(None, "readings that were held for a wrong clock are on their way into windows"))
        return found

    def _why_not(self, name: str, closed_bytes: int | None, size: int, revision: int, stored: int) -> str | None:
        if closed_bytes is None:
            # an empty window that never closed holds nothing
            return "it is still open" if size and self._has_bytes(name, 0) else None
        if size > closed_bytes and self._has_bytes(name, closed_bytes):
            return "late readings are still being collected"
        if revision > stored:
            return f"revision {revision} is closed, {f'revision {stored}' if stored else 'nothing'} is stored"
        return None

    def _sizes(self) -> dict[str, int]:
        folder = self._folder / SEGMENTS
        return {entry.name: entry.stat().st_size for entry in os.scandir(folder)} if folder.is_dir() else {}

    def _is_unknown(self, name: str) -> bool:
        parsed = parse_segment_name(name)
        return parsed is not None and not self._index.window_rows("start = ? AND generation >= ?", parsed)

    def _has_bytes(self, name: str, at: int) -> bool:
        """Return whether there is anything but zeros, which are filled ahead, behind `at`."""
        with (self._folder / SEGMENTS / name).open("rb") as file:
            file.seek(at)
            return any(piece.strip(b"\0") for piece in iter(lambda: file.read(1 << 20), b""))

    def note_stored(self, ledger: Mapping[datetime, int]) -> None:
        """Note durably what the ledger says: the proof that is left once the ledger is cut anew."""
        with self._index.transaction():
            self._index.run_many(
                "UPDATE windows SET stored_revision = ? WHERE start = ?",
                [(revision, to_micros(start)) for start, revision in ledger.items()],
            )

    def apply(self, length: timedelta, ledger: Mapping[datetime, int], aside: Path) -> None:
        """Cut the folder to `length`, and move its segments, all stored, to `aside`.

        An interruption leaves a buffer that either is of the old length and holds nothing unstored, or is done.

        Args:
            length: The new length.
            ledger: Window start -> stored revision of this collector, by the new length.
            aside: A folder on the same disk; made. It becomes a buffer of the old length that can be read.
        """
        grid = WindowGrid(length)
        (aside / SEGMENTS).mkdir(parents=True)
        with contextlib.closing(sqlite3.connect(aside / INDEX_NAME)) as copy:
            self._index.backup(copy)
        for name in self._sizes():
            (self._folder / SEGMENTS / name).rename(aside / SEGMENTS / name)
        for folder in (aside / SEGMENTS, aside, self._folder / SEGMENTS):
            if folder.is_dir():
                sync_folder(folder)
        with self._index.transaction():
            self._index.run("DELETE FROM windows")
            self._index.run("DELETE FROM replays")
            self._index.run_many(
                "INSERT INTO windows (start, end, generation, revision, closed_bytes, closed_rows, bytes, rows, "
                "complete, partial, held, stored_revision, expected) VALUES (?, ?, 0, ?, 0, 0, 0, 0, 0, 0, 0, ?, '[]')",
                [(to_micros(s), to_micros(s) + grid.length_us, revision, revision) for s, revision in ledger.items()],
            )
            self._index.set_meta(window_us=grid.length_us)
            self._index.note_change()
        log.info("buffer_cut_anew", folder=str(self._folder), length=str(length), aside=str(aside))
