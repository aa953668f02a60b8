"""What must outlive the process: births with their aliases, and messages that were taken but could not be read yet.

One SQLite file in the source's own folder. Births are written before the data that follow them are read; a message that
the broker thinks delivered is written before it is acknowledged.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog

from resources.core.errors import ConfigError

log = structlog.get_logger(__name__)

_TABLES = """
CREATE TABLE IF NOT EXISTS births (
    group_id TEXT, edge_node_id TEXT, device_id TEXT, metrics TEXT NOT NULL,
    PRIMARY KEY (group_id, edge_node_id, device_id));
CREATE TABLE IF NOT EXISTS edge_nodes (
    group_id TEXT, edge_node_id TEXT, bd_seq INTEGER, expected INTEGER, PRIMARY KEY (group_id, edge_node_id));
CREATE TABLE IF NOT EXISTS held (
    ticket INTEGER PRIMARY KEY, topic BLOB NOT NULL, payload BLOB NOT NULL, received_us INTEGER NOT NULL);
"""

NodeKey = tuple[str, str]


class SparkplugStore:
    """The file; made when it is opened."""

    def __init__(self, folder: Path) -> None:
        """Open it.

        Raises:
            ConfigError: The folder cannot be written.
        """
        self._path = folder / "sparkplug.sqlite"
        self._open_file: sqlite3.Connection | None = None
        self._ready()

    def _ready(self) -> sqlite3.Connection:
        if self._open_file is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._open_file = self._open()
            except (OSError, sqlite3.OperationalError) as error:
                raise self._refused(error) from error
        return self._open_file

    def _open(self) -> sqlite3.Connection:
        try:
            return self._opened()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            # what it knew, the next births tell again
            spoilt = self._path.with_suffix(".spoilt")
            log.warning("sparkplug_state_spoilt", file=str(self._path), moved_to=str(spoilt), error=str(error))
            self._path.replace(spoilt)
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        file = sqlite3.connect(self._path, isolation_level=None, timeout=10, check_same_thread=False)
        try:
            file.execute("PRAGMA journal_mode=WAL")
            file.execute("PRAGMA synchronous=FULL")
            file.executescript(_TABLES)
        except sqlite3.Error:
            file.close()
            raise
        return file

    def _refused(self, error: Exception) -> ConfigError:
        return ConfigError(f"{self._path}: cannot be written ({error}): free disk space, or see who owns the folder")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        file = self._ready()
        try:
            file.execute("BEGIN IMMEDIATE")
            try:
                yield file
            except BaseException:
                file.execute("ROLLBACK")
                raise
            file.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def births(self) -> list[tuple[NodeKey, str, str]]:
        """Return ((group_id, edge_node_id), device_id, metrics as text) of every birth."""
        rows = self._ready().execute("SELECT group_id, edge_node_id, device_id, metrics FROM births")
        return [((group_id, node_id), device_id, metrics) for group_id, node_id, device_id, metrics in rows]

    def edge_nodes(self) -> dict[NodeKey, tuple[int | None, int | None]]:
        """Return edge node -> (bdSeq of its last birth, the sequence number that was expected next)."""
        rows = self._ready().execute("SELECT group_id, edge_node_id, bd_seq, expected FROM edge_nodes")
        return {(group_id, node_id): (bd_seq, expected) for group_id, node_id, bd_seq, expected in rows}

    def keep_births(self, births: Iterable[tuple[NodeKey, int | None, str, str]]) -> None:
        """Keep ((group_id, edge_node_id), bdSeq, device_id, metrics as text) for good; all at once.

        Raises:
            ConfigError: The disk does not take it.
        """
        with self._writing() as file:
            for key, bd_seq, device_id, metrics in births:
                file.execute(
                    "INSERT INTO edge_nodes VALUES (?, ?, ?, NULL) ON CONFLICT DO UPDATE SET bd_seq = excluded.bd_seq",
                    (*key, bd_seq),
                )
                file.execute("INSERT OR REPLACE INTO births VALUES (?, ?, ?, ?)", (*key, device_id, metrics))

    def keep_expected(self, expected: Iterable[tuple[NodeKey, int | None]]) -> None:
        """Keep the sequence number that each edge node will send next; raises as `keep_births`."""
        with self._writing() as file:
            file.executemany(
                "UPDATE edge_nodes SET expected = ? WHERE group_id = ? AND edge_node_id = ?",
                [(number, *key) for key, number in expected],
            )

    def hold(self, messages: Iterable[tuple[bytes, bytes, int]]) -> list[int]:
        """Keep (topic, payload, received_us) for good; return the ticket of each; raises as `keep_births`."""
        with self._writing() as file:
            return [
                file.execute("INSERT INTO held (topic, payload, received_us) VALUES (?, ?, ?)", message).lastrowid or 0
                for message in messages
            ]

    def held(self) -> list[tuple[int, bytes, bytes, int]]:
        """Return (ticket, topic, payload, received_us) of what is held, in order of arrival."""
        return self._ready().execute("SELECT ticket, topic, payload, received_us FROM held ORDER BY ticket").fetchall()

    def release(self, tickets: Iterable[int]) -> None:
        """Forget what was held, once it is safe elsewhere; raises as `keep_births`."""
        with self._writing() as file:
            file.executemany("DELETE FROM held WHERE ticket = ?", [(ticket,) for ticket in tickets])

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._open_file is not None:
            self._open_file.close()
            self._open_file = None
