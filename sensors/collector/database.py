"""What the collector exchanges with the database, in a thread of its own: nothing it collects waits for it.

Every second: changed sensors to `scada.latest_readings`, gaps to `scada.gaps`, events to `scada.events`; every few
seconds: the ledger to the buffer, so that it may drop what is stored, and the age of the agent registry. Without a
database the collector goes on; the loss is one line in the log, so is the return, and the first thing written then is
the live view.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg
import structlog

from resources.core.clock import Clock
from resources.core.errors import PlatformError
from resources.databases.timescale.connection import connect, describe
from resources.databases.timescale.notes.events import write_source_events
from resources.databases.timescale.notes.latest import write_latest
from resources.databases.timescale.rework.gaps import write_gaps
from resources.databases.timescale.window_store.ledger import stored_revisions
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.model import BufferFullError, Gap
from sensors.collector.event_queue import EventQueue
from sensors.collector.health import Finding, registry_finding
from sensors.collector.live_view import LiveView

log = structlog.get_logger(__name__)

WRITE_EVERY_S = 1.0
"""How often the live view and the gaps are written."""

LEDGER_EVERY_S = 5.0
"""How often the ledger is read."""

RETRY_CAP_S = 15.0
"""Longest pause before a database that is away is asked again."""

EVENTS_PER_BATCH, EVENT_BATCHES = 500, 10
"""Events written by one transaction, and transactions in one turn."""

STATEMENT_LIMIT_S = 15
"""Longest time one statement may take: a database that hangs must not look like one that is up to date."""

STOP_LIMIT_S = 10.0
"""Longest wait for the last write when the collector ends."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose rows these are."""

    site: str
    collector: str


class DatabaseMirror:
    """Keeps the database's picture of this collector up to date; `findings` says how that goes."""

    def __init__(
        self,
        url: str,
        origin: Origin,
        live: LiveView,
        buffer: WindowBuffer,
        *,
        clock: Clock,
        watch_registry: bool = False,
    ) -> None:
        """Mirror `live`, and the gaps of `buffer`, into the database at `url`."""
        self._url, self._origin = url, origin
        self._live, self._buffer, self._clock = live, buffer, clock
        self._watch_registry = watch_registry
        self.events: EventQueue | None = None
        """What waits to be brought to the database; set before `start`."""
        self.errands: list[Callable[[psycopg.Connection], None]] = []
        """What else is exchanged in every turn; set before `start`."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)
        self._connection: psycopg.Connection | None = None
        self._written: dict[int, Gap] = {}
        """gap_id -> gap as the table has it."""
        self._failures = 0
        self._lost: tuple[float, str] | None = None
        self._behind_since: float | None = None
        self._asked: float | None = None
        self._registry: tuple[datetime, datetime | None] | None = None
        """When the registry was last asked, and its newest heartbeat."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, if the database is there, and end; waits a few seconds at most."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_LIMIT_S)

    @property
    def lag_s(self) -> float:
        """Seconds since the live view last held everything; 0 if it does."""
        behind = self._behind_since
        return 0.0 if behind is None else self._clock.monotonic() - behind

    def findings(self) -> Iterable[Finding]:
        """Yield whether the database is there, and how fresh the agent registry is."""
        lost = self._lost
        if lost is None:
            yield Finding("database", "green", f"live view {self.lag_s:.1f} s behind")
        else:
            # no reason to restart the collector: it goes on without
            yield Finding("database", "warning", f"away for {self._clock.monotonic() - lost[0]:.0f} s: {lost[1]}")
        if self.events is not None and len(self.events) > EVENTS_PER_BATCH:
            yield Finding("events", "warning", f"{len(self.events)} events wait for the database")
        if self._watch_registry:
            asked_at, newest = self._registry or (None, None)
            yield registry_finding(newest, asked_at, self._clock)

    # -- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = WRITE_EVERY_S if self._turn() else min(RETRY_CAP_S, 2.0 ** min(self._failures, 4))
        if self._lost is None:
            self._turn()
        if self._connection is not None:
            self._connection.close()

    def _turn(self) -> bool:
        """Exchange everything that is due; return False, after logging it once, if the database is away."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = _open(self._url)
            self._exchange(self._connection)
        except (psycopg.Error, PlatformError) as error:
            self._went(error)
            return False
        if self._lost is not None:
            log.info("database_back", away_s=round(self._clock.monotonic() - self._lost[0], 1))
            self._lost = None
        self._failures = 0
        return True

    def _exchange(self, connection: psycopg.Connection) -> None:
        self._write_live(connection)
        self._write_gaps(connection)
        self._write_events(connection)
        for errand in self.errands:
            errand(connection)
        mark = self._clock.monotonic()
        if self._asked is None or mark - self._asked >= LEDGER_EVERY_S:
            self._asked = mark
            with connection.transaction():
                ledger = stored_revisions(connection, site=self._origin.site, collector=self._origin.collector)
                if self._watch_registry:
                    self._registry = (self._clock.now(), _newest_heartbeat(connection))
            try:
                self._buffer.stored_revisions(ledger)
            except BufferFullError as error:
                # no fault of the database, and no reason to let the live view wait: the ledger is asked again soon
                log.debug("ledger_not_noted", error=str(error))

    def _write_live(self, connection: psycopg.Connection) -> None:
        rows = self._live.take_changed()
        if not len(rows.sensor_keys):
            self._behind_since = None
            return
        if self._behind_since is None:
            self._behind_since = self._clock.monotonic()
        try:
            with connection.transaction():
                write_latest(connection, site=self._origin.site, sensors=self._live.sensors, rows=rows)
        except BaseException:
            self._live.put_back(rows)
            raise
        self._behind_since = None

    def _write_gaps(self, connection: psycopg.Connection) -> None:
        gaps = {gap.gap_id: gap for gap in self._buffer.gaps()}
        changed = [gap for gap_id, gap in gaps.items() if self._written.get(gap_id) != gap]
        # the buffer takes back a gap that a clock set back has made empty: the table keeps it, with no length
        changed += [
            replace(gap, until=gap.since)
            for gap_id, gap in self._written.items()
            if gap_id not in gaps and not gap.until
        ]
        if changed:
            with connection.transaction():
                write_gaps(connection, site=self._origin.site, collector=self._origin.collector, gaps=changed)
        self._written = gaps

    def _write_events(self, connection: psycopg.Connection) -> None:
        """Bring waiting events to the database, a few thousand at most: the live view must not wait for a backlog."""
        for _ in range(EVENT_BATCHES):
            waiting = self.events.oldest(EVENTS_PER_BATCH) if self.events is not None else []
            if not waiting or self.events is None:
                return
            with connection.transaction():
                events = [queued.event for queued in waiting]
                write_source_events(connection, events, site=self._origin.site, collector=self._origin.collector)
            # after the commit: a crash in between brings them again, and the table knows them
            self.events.remove(waiting[-1].number)

    def _went(self, error: Exception) -> None:
        self._failures += 1
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lost is None:
            log.warning("database_lost", database=describe(self._url), error=str(error).strip())
        self._lost = (self._clock.monotonic() if self._lost is None else self._lost[0], str(error).strip())
        if self._behind_since is None:
            self._behind_since = self._clock.monotonic()


def _open(url: str) -> psycopg.Connection:
    connection = connect(url, autocommit=True, timeout_s=5)
    connection.execute(f"SET statement_timeout = '{STATEMENT_LIMIT_S}s'")
    return connection


def _newest_heartbeat(connection: psycopg.Connection) -> datetime | None:
    row = connection.execute("SELECT max(last_heartbeat) FROM agents.registry").fetchone()
    return row[0] if row else None
