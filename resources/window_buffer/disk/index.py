"""The index: which windows, sensors, gaps, counters and held readings there are, in SQLite (WAL, synchronous FULL).

Rows of readings never pass through it. Where a segment is longer than its index row says, the segment is right:
recovery reads the rest of it. So a commit of readings needs no index transaction, only a checkpoint now and then.
"""

from __future__ import annotations

import errno
import re
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resources.core.clock import from_micros
from resources.window_buffer.model import BufferedWindow, BufferFullError, Gap, SourceCounts

INDEX_NAME = "index.sqlite"
SEGMENTS = "segments"
HELD = "held"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS windows (
    start INTEGER PRIMARY KEY,       -- microseconds since 1970, as all times here
    end INTEGER NOT NULL,
    generation INTEGER NOT NULL,     -- part of the segment's name; rises when a dropped window comes back
    revision INTEGER NOT NULL,       -- last closed, 0 if none; kept when the window is dropped
    closed_at INTEGER,               -- of that revision, in this generation
    closed_bytes INTEGER NOT NULL,   -- size of the segment when it closed
    closed_rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,          -- size of the segment at the last checkpoint
    rows INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    partial INTEGER NOT NULL,
    held INTEGER NOT NULL,           -- 0: dropped
    stored_revision INTEGER NOT NULL,   -- as the ledger last said; -1: not heard since the index was made again
    expected TEXT NOT NULL,          -- JSON list of sources
    damaged INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS sensors (
    key INTEGER PRIMARY KEY, sensor_id TEXT NOT NULL, unit TEXT NOT NULL, source TEXT NOT NULL,
    UNIQUE (sensor_id, unit, source)
);
CREATE TABLE IF NOT EXISTS gaps (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS counts (
    source TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (source, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, minute INTEGER NOT NULL,   -- of receiving
    ahead INTEGER NOT NULL,          -- how far its source times were ahead
    bytes INTEGER NOT NULL, rows INTEGER NOT NULL, verdict TEXT    -- set while its rows are being moved
);
CREATE TABLE IF NOT EXISTS replays (
    id INTEGER PRIMARY KEY AUTOINCREMENT, since INTEGER NOT NULL, until INTEGER NOT NULL, raised TEXT
);
"""

_TABLES = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", _SCHEMA)

_WINDOW_COLUMNS = (
    "start, end, generation, revision, closed_at, closed_bytes, closed_rows, bytes, rows, complete, partial, "
    "stored_revision, expected, damaged"
)

_UNWRITABLE = "window buffer: the index cannot be written ({}); free disk space"

Row = tuple[Any, ...]


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or what it came from, says that the disk takes no more."""
    while error is not None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        refused = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if refused or isinstance(error, BufferFullError) or code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return True
        error = error.__cause__
    return False


class Index:
    """One connection to the index, shared by the threads of the writer."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Open or make the index in `folder`.

        Raises:
            BufferFullError: The disk is full, and the file is new or was left half-way.
            sqlite3.DatabaseError: The file is no SQLite database (any more).
        """
        self._lock = threading.RLock()
        target = f"file:{folder / INDEX_NAME}?mode=ro" if read_only else str(folder / INDEX_NAME)
        self._db = sqlite3.connect(target, isolation_level=None, check_same_thread=False, uri=read_only, timeout=30)
        try:
            if not read_only:
                self._prepare()
        except sqlite3.DatabaseError as error:
            self._db.close()
            if is_disk_full(error):
                raise BufferFullError(_UNWRITABLE.format(error)) from error
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('instance', ?), ('changes', 0)", (uuid.uuid4().hex,))

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()

    def backup(self, target: sqlite3.Connection) -> None:
        """Copy the whole index into another database."""
        with self._lock:
            self._db.backup(target)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block as one durable transaction; nested blocks join the outer one."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error) and is_disk_full(error):
                    raise BufferFullError(_UNWRITABLE.format(error)) from error
                raise

    def all(self, query: str, parameters: Iterable[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        with self._lock:
            return self._db.execute(query, tuple(parameters)).fetchall()

    def run(self, query: str, parameters: Iterable[Any] = ()) -> int:
        """Run a statement; return the row id it made, if it made one."""
        with self._lock:
            return self._db.execute(query, tuple(parameters)).lastrowid or 0

    def run_many(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once per row."""
        with self._lock:
            self._db.executemany(query, rows)

    def meta(self, key: str, default: Any = None) -> Any:
        """Return a value of the meta table."""
        found = self.all("SELECT value FROM meta WHERE key = ?", (key,))
        return found[0][0] if found else default

    def set_meta(self, **values: Any) -> None:
        """Write values of the meta table."""
        self.run_many("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed."""
        version: int = self.all("PRAGMA data_version")[0][0]
        return version

    def note_change(self) -> None:
        """Count a closed revision: what `wait_for_change` waits for."""
        self.run("UPDATE meta SET value = value + 1 WHERE key = 'changes'")

    def change_token(self) -> str:
        """Return the token of the present state of closed revisions; another one after the index was made anew."""
        found: dict[str, Any] = dict(self.all("SELECT key, value FROM meta WHERE key IN ('instance', 'changes')"))
        return f"{found['instance']}:{found['changes']}" if len(found) == 2 else ""

    def add_counts(self, counts: dict[str, dict[str, int]]) -> None:
        """Add source -> counter -> increment."""
        self.run_many(
            "INSERT INTO counts VALUES (?, ?, ?) "
            "ON CONFLICT (source, name) DO UPDATE SET value = value + excluded.value",
            ((source, name, number) for source, some in counts.items() for name, number in some.items() if number),
        )

    def raw_counts(self) -> dict[str, dict[str, int]]:
        """Return source -> counter -> value."""
        found: dict[str, dict[str, int]] = {}
        for source, name, value in self.all("SELECT source, name, value FROM counts ORDER BY source, name"):
            found.setdefault(source, {})[name] = value
        return found

    def gaps(self) -> list[Gap]:
        """Return all gaps, oldest first."""
        rows = self.all("SELECT id, source, since, until, reason FROM gaps ORDER BY since, id")
        return [Gap(i, s, from_micros(a), None if b is None else from_micros(b), r) for i, s, a, b, r in rows]

    def has_tables(self) -> bool:
        """Return False in the moment between the file's making and its tables'."""
        found: int = self.all("SELECT count(*) FROM sqlite_master WHERE type = 'table'")[0][0]
        return found >= len(_TABLES)

    def is_held(self, start: int) -> bool:
        """Return True if the window is held."""
        return bool(self.all("SELECT 1 FROM windows WHERE start = ? AND held", (start,)))

    def window_rows(self, where: str, parameters: Iterable[Any] = ()) -> list[Row]:
        """Return rows of the windows table (start, end, generation, ..., damaged), by start."""
        return self.all(f"SELECT {_WINDOW_COLUMNS} FROM windows WHERE {where} ORDER BY start", parameters)  # noqa: S608

    def buffered_windows(self) -> list[BufferedWindow]:
        """Return the last closed revision of every held window, oldest first."""
        collector = self.meta("collector", "")
        found = []
        for row in self.window_rows("held AND closed_at IS NOT NULL"):
            start, end, _, revision, closed_at, closed_bytes, closed_rows, size, _, complete, partial, stored, *_ = row
            found.append(
                BufferedWindow(
                    collector=collector,
                    window_start=from_micros(start),
                    window_end=from_micros(end),
                    revision=revision,
                    closed_at=from_micros(closed_at),
                    rows=closed_rows,
                    bytes=closed_bytes,
                    partial=bool(partial),
                    complete=bool(complete),
                    stored_revision=max(stored, 0),
                    is_open=size > closed_bytes,
                )
            )
        return found


_KNOWN_COUNTS = tuple(name for name in SourceCounts.__dataclass_fields__ if name != "other")


def source_counts(raw: dict[str, dict[str, int]]) -> dict[str, SourceCounts]:
    """Return source -> counters as the dataclass."""
    return {
        source: SourceCounts(
            **{name: some.get(name, 0) for name in _KNOWN_COUNTS},
            other={name: value for name, value in some.items() if name not in _KNOWN_COUNTS},
        )
        for source, some in raw.items()
    }
