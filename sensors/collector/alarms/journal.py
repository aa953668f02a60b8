"""What became of alarms, as the collector notes it down for the platform; the Dagster sensor takes it from here."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from resources.core.errors import UnreachableError

STORE_FILE = "alarms.sqlite"
"""Name of the file under GL_HOME."""

_BUSY_S = 10.0

State = Literal["raised", "cleared", "answered", "unanswered"]


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """One step in the life of an alarm."""

    rule: str
    sensor_id: str
    source: str
    unit: str
    state: State
    """`answered` and `unanswered` tell of the command, one for each agent."""
    raised_us: int
    """Source time of the reading that raised it: with rule and sensor_id, what the alarm is known by."""
    at_us: int
    """When this step was; of `raised` and `cleared`, the source time of the reading that decided."""
    began_us: int
    """Source time since when the value was beyond the limit."""
    value: float | None
    """The value that decided; None where none did: the rule was taken out of the configuration."""
    threshold: float
    direction: str
    priority: str
    text: str
    """What the rule says to people."""
    message_id: str
    """Of the event that says so; of `answered` and `unanswered`, of the command."""
    noticed_us: int
    """When the collector noticed it, by its own clock."""
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return it as JSON."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> AlarmChange:
        """Return what `to_json` gave."""
        return cls(**orjson.loads(text))


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
