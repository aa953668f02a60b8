"""The changes of alarms that wait to be recorded, as another process takes them out of the collector's file."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from resources.core.alarms import AlarmChange
from resources.core.errors import UnreachableError

STORE_FILE = "alarms.sqlite"
"""Name of the file under GL_HOME."""

_BUSY_S = 10.0


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A change that waits to be recorded, and its place."""

    number: int
    change: AlarmChange


class AlarmJournal:
    """The changes that wait in the collector's file, read and taken out by another process; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file; it must be there.

        Raises:
            UnreachableError: It cannot be opened.
        """
        self._path = path
        try:
            self._database = sqlite3.connect(
                path.as_uri() + "?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None
            )
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def __enter__(self) -> AlarmJournal:
        """Return the journal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._database.close()

    def oldest(self, most: int) -> list[JournalEntry]:
        """Return the changes that have waited longest, in their order.

        Raises:
            UnreachableError: The file cannot be read.
        """
        try:
            rows = self._database.execute("SELECT number, change FROM journal ORDER BY number LIMIT ?", (most,))
            return [JournalEntry(number, AlarmChange.from_json(change)) for number, change in rows]
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def remove(self, up_to: int) -> None:
        """Take out the changes up to this place: they are in the database.

        Raises:
            UnreachableError: The file cannot be written; they will be recorded again, which changes nothing.
        """
        try:
            self._database.execute("DELETE FROM journal WHERE number <= ?", (up_to,))
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> UnreachableError:
        return UnreachableError(
            f"alarm store {self._path}: cannot be read or written ({error}); check the disk under GL_HOME, and that "
            "Dagster runs as the collector's user"
        )
