"""The durable queue of events between the sources and the database: a small SQLite file under GL_HOME.

An event is acknowledged to its source once it is in here, and leaves once it is in the database: at least once, and
the database knows each by its id. While the database is away events wait; when there is no room left for them, the
sources are not acknowledged, so that they keep them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from resources.core.events import SourceEvent
from resources.scada.events import TellsEvents

log = structlog.get_logger(__name__)

MOST_EVENTS = 1_000_000
"""Events that may wait: a gigabyte at most, weeks of a busy plant."""

FULL_RETRY_S = 1.0
"""How often a full queue is asked again."""


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """An event that waits, and its place."""

    number: int
    event: SourceEvent


class EventQueue:
    """Written by the event loop, emptied by the thread that writes to the database."""

    def __init__(self, path: Path, *, most: int = MOST_EVENTS) -> None:
        """Open the queue in `path`, and make it if it is not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._most = most
        self._lock = threading.Lock()
        self._told = self._closed = False
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, event BLOB NOT NULL)"
        )
        self._waiting = int(self._database.execute("SELECT count(*) FROM events").fetchone()[0])

    def __len__(self) -> int:
        """Return how many events wait."""
        return self._waiting

    async def put(self, events: Sequence[SourceEvent]) -> None:
        """Make events durable; waits while the queue is full, and takes them all the same when it is cancelled."""
        while self._waiting + len(events) > self._most:
            if not self._told:
                self._told = True
                log.error("event_queue_full", waiting=self._waiting, hint="check the database; sources now keep events")
            try:
                await asyncio.sleep(FULL_RETRY_S)
            except asyncio.CancelledError:
                self._insert(events)
                raise
        self._told = False
        # a thread is not interrupted by a cancellation: what it has begun is durable when it ends
        writing = asyncio.ensure_future(asyncio.to_thread(self._insert, events))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            raise

    def _insert(self, events: Sequence[SourceEvent]) -> None:
        rows = [(event.to_json(),) for event in events]
        with self._lock:
            self._database.execute("BEGIN")
            try:
                self._database.executemany("INSERT INTO events (event) VALUES (?)", rows)
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
            self._waiting += len(rows)

    def oldest(self, most: int) -> list[QueuedEvent]:
        """Return the events that have waited longest, in their order."""
        with self._lock:
            if self._closed:
                return []
            found = self._database.execute("SELECT number, event FROM events ORDER BY number LIMIT ?", (most,))
            return [QueuedEvent(number, SourceEvent.from_json(event)) for number, event in found]

    def remove(self, up_to: int) -> None:
        """Forget the events up to this place: they are in the database."""
        with self._lock:
            if self._closed:
                return
            self._waiting -= self._database.execute("DELETE FROM events WHERE number <= ?", (up_to,)).rowcount

    def close(self) -> None:
        """Close the file; what waits is there at the next start."""
        with self._lock:
            self._closed = True
            self._database.close()


def event_queue_for(clients: Iterable[object], path: Path, *, wanted: bool = False) -> EventQueue | None:
    """Return the queue, with every client that tells events handing them to it; None where nobody does.

    `wanted`: somebody else tells events, too.

    A queue that is there from before is opened in any case: what waits in it still has to go to the database.
    """
    tellers = [client for client in clients if isinstance(client, TellsEvents)]
    held: list[EventQueue] = []

    async def take(events: Sequence[SourceEvent]) -> None:
        await held[0].put(events)

    telling = [teller for teller in tellers if teller.tell_events(take)]
    if not telling and not wanted and not path.exists():
        return None
    held.append(EventQueue(path))
    return held[0]
