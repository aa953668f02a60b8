"""One SQLite file that one thread writes with group commit: while one commit runs, the next changes gather.

WAL and synchronous FULL: what `on_durable` was called for outlives a power cut.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import structlog

from resources.core.errors import DataError

log = structlog.get_logger(__name__)

_COMMIT_RETRY_S = 1.0

_MOST_ROWS = 500
"""In one statement; SQLite allows 32,766 parameters."""

ROWS = "{rows}"
"""Where a statement takes the rows of many changes at once: `(?, ?), (?, ?)`.

Until a change without it comes, those of one statement are executed together, whatever came between them.
"""

OnDurable = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Change:
    statement: str
    parameters: tuple[Any, ...]
    on_durable: OnDurable | None


class Journal:
    """The file and its writer; safe from any thread. Reading is for before `start`."""

    def __init__(self, path: Path, schema: str) -> None:
        """Open or make the file, with the tables of `schema`.

        Raises:
            sqlite3.Error: The file cannot be opened, or is no database.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.executescript(schema)
        self._changes: SimpleQueue[_Change | None] = SimpleQueue()
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write, name="agent-store", daemon=True)

    def rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return what is stored; before `start`."""
        return self._database.execute(query, parameters).fetchall()

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()

    def put(self, statement: str, parameters: tuple[Any, ...], on_durable: OnDurable | None = None) -> None:
        """Have a statement executed; `on_durable` is called from the writer's thread and must not block."""
        self._changes.put(_Change(statement, parameters, on_durable))

    def put_and_wait(self, statement: str, parameters: tuple[Any, ...]) -> None:
        """Return when the change is durable; never from the writer's thread.

        Raises:
            DataError: The journal was closed before it was.
        """
        durable = threading.Event()
        self.put(statement, parameters, durable.set)
        while not durable.wait(_COMMIT_RETRY_S):
            if not self._writer.is_alive() and not durable.is_set():
                raise DataError(f"agent store {self.path}: closed, so that nothing more can be recorded")

    def close(self) -> None:
        """Make everything durable and close the file."""
        self._closing.set()
        self._changes.put(None)
        self._writer.join()
        self._database.close()

    def _write(self) -> None:
        ended = False
        while not ended:
            changes = [self._changes.get()]
            while not self._changes.empty():
                changes.append(self._changes.get())
            ended = None in changes
            batch = [change for change in changes if change is not None]
            if batch and self._commit_until_done(batch):
                _call_all(batch)

    def _commit_until_done(self, batch: list[_Change]) -> bool:
        while True:
            try:
                self._commit(batch)
            except sqlite3.Error as error:
                # nothing was acknowledged: the broker keeps the messages until the disk takes writes again
                log.error("agent_store_write_failed", path=str(self.path), error=str(error), changes=len(batch))
                if self._closing.wait(_COMMIT_RETRY_S):
                    return False
            else:
                return True

    def _commit(self, batch: list[_Change]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for statement, parameters in _merged(batch):
                self._database.execute(statement, parameters)
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise


def _merged(batch: list[_Change]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield what to execute: changes whose statement holds ROWS as few statements of many rows, the others one by one.

    Each statement gives up the interpreter's lock, and in a busy process may wait milliseconds to get it back.
    """
    gathered: dict[str, list[tuple[Any, ...]]] = {}
    for change in batch:
        if ROWS in change.statement:
            gathered.setdefault(change.statement, []).append(change.parameters)
            continue
        yield from _of_many_rows(gathered)
        gathered = {}
        yield change.statement, change.parameters
    yield from _of_many_rows(gathered)


def _of_many_rows(gathered: dict[str, list[tuple[Any, ...]]]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for statement, rows in gathered.items():
        row = f"({', '.join('?' * len(rows[0]))})"
        for first in range(0, len(rows), _MOST_ROWS):
            some = rows[first : first + _MOST_ROWS]
            yield statement.replace(ROWS, ", ".join([row] * len(some))), tuple(chain.from_iterable(some))


def _call_all(batch: list[_Change]) -> None:
    for change in batch:
        if change.on_durable is None:
            continue
        try:
            change.on_durable()
        except Exception:
            # the writer serves every agent of the process: what one of them does with its turn must not end it
            log.exception("agent_store_callback_failed")
