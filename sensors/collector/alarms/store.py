"""The collector's own outbox of alarms: which stand, what has to be sent, what has to be recorded. One SQLite file.

A change and the messages it makes are one transaction, so a crash after it loses nothing: the next run sends what was
not sent, under the same ids, and does not raise again what stands.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import structlog

from resources.agents.wire.message import Message
from resources.core.alarms import AlarmChange
from resources.core.errors import ConfigError

log = structlog.get_logger(__name__)

MOST_ENTRIES = 500_000
"""Changes that may wait to be recorded: a few hundred megabytes at most."""

_BUSY_S = 0.5

_SCHEMA = """
CREATE TABLE IF NOT EXISTS standing (
    rule TEXT NOT NULL, sensor_id TEXT NOT NULL, change BLOB NOT NULL, PRIMARY KEY (rule, sensor_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE, message BLOB NOT NULL,
    change BLOB NOT NULL, sent INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS awaited (
    message_id TEXT NOT NULL, agent_id TEXT NOT NULL, PRIMARY KEY (message_id, agent_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (number INTEGER PRIMARY KEY AUTOINCREMENT, change BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that an alarm makes, and the change that made it."""

    message: Message
    change: AlarmChange
    sent: bool = False
    """True: the broker has it."""
    awaited: frozenset[str] = frozenset()
    """Agents whose answers are awaited; of an event nobody's."""


@dataclass(slots=True)
class Step:
    """What one transaction changes."""

    changes: list[AlarmChange] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    """Commands that the broker has taken; they stay until their answers are there."""
    answered: list[tuple[str, str]] = field(default_factory=list)
    """(command, agent) of the answers that have come."""
    done: list[str] = field(default_factory=list)
    """Messages that nothing more is to be done about."""

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return bool(self.changes or self.outgoing or self.sent or self.answered or self.done)


class AlarmStore:
    """The file; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            ConfigError: It cannot be opened, or is not such a store.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # the sensor that records takes entries out at the same time; an emergency waits no longer than this for it
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_BUSY_S)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise ConfigError(
                f"alarm store {path}: cannot be opened ({error}); check the disk, or remove the file: alarms that "
                "stand are then raised again"
            ) from error

    def standing(self) -> list[AlarmChange]:
        """Return the alarms that stand, as they were raised."""
        return [AlarmChange.from_json(row[0]) for row in self._database.execute("SELECT change FROM standing")]

    def outgoing(self) -> list[Outgoing]:
        """Return what is to be sent, or waits for answers, in the order it was made."""
        awaited: dict[str, set[str]] = {}
        for message_id, agent_id in self._database.execute("SELECT message_id, agent_id FROM awaited"):
            awaited.setdefault(message_id, set()).add(agent_id)
        rows = self._database.execute("SELECT message_id, message, change, sent FROM outbox ORDER BY number")
        return [
            Outgoing(
                Message.model_validate(orjson.loads(message)),
                AlarmChange.from_json(change),
                bool(sent),
                frozenset(awaited.get(message_id, ())),
            )
            for message_id, message, change, sent in rows
        ]

    def waiting_entries(self) -> int:
        """Return how many changes wait to be recorded."""
        return int(self._database.execute("SELECT count(*) FROM journal").fetchone()[0])

    def write(self, step: Step) -> None:
        """Make everything in `step` durable, or nothing.

        Raises:
            sqlite3.Error: The disk does not take it.
        """
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            for change in step.changes:
                self._write_change(change)
            database.executemany(
                "INSERT INTO outbox (message_id, message, change) VALUES (?, ?, ?)",
                [_row(outgoing) for outgoing in step.outgoing],
            )
            database.executemany(
                "INSERT INTO awaited VALUES (?, ?)",
                [(each.message.message_id, agent) for each in step.outgoing for agent in each.awaited],
            )
            database.executemany("UPDATE outbox SET sent = 1 WHERE message_id = ?", [(i,) for i in step.sent])
            database.executemany("DELETE FROM awaited WHERE message_id = ? AND agent_id = ?", step.answered)
            database.executemany("DELETE FROM awaited WHERE message_id = ?", [(i,) for i in step.done])
            database.executemany("DELETE FROM outbox WHERE message_id = ?", [(i,) for i in step.done])
            database.execute("COMMIT")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def shorten(self) -> int:
        """Drop the oldest changes beyond the most that may wait; return how many: nobody has come to record them."""
        newest = self._database.execute("SELECT max(number) FROM journal").fetchone()[0] or 0
        dropped = self._database.execute("DELETE FROM journal WHERE number <= ?", (newest - MOST_ENTRIES,)).rowcount
        if dropped:
            log.error("alarm_changes_dropped", dropped=dropped, hint="start Dagster: alarm_events_sensor records them")
        return dropped

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _write_change(self, change: AlarmChange) -> None:
        text = change.to_json()
        key = (change.rule, change.sensor_id)
        if change.state == "raised":
            self._database.execute("INSERT OR REPLACE INTO standing VALUES (?, ?, ?)", (*key, text))
        elif change.state == "cleared":
            self._database.execute("DELETE FROM standing WHERE rule = ? AND sensor_id = ?", key)
        self._database.execute("INSERT INTO journal (change) VALUES (?)", (text,))


def _row(outgoing: Outgoing) -> Sequence[object]:
    message = outgoing.message
    return message.message_id, orjson.dumps(message.to_wire()), outgoing.change.to_json()
