"""The orchestrator's pen: answers, sendings, misses and heartbeats, written in bulk by group commit.

While one transaction commits, the next entries gather, and those that nobody waits for yet gather a little longer. What
cannot be written is kept and tried again, and its messages stay unacknowledged at the broker.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping

import psycopg
import structlog

from resources.agents.members import registry_rows
from resources.agents.members.registry import AgentState
from resources.agents.members.roster import Roster
from resources.agents.members.score import Score
from resources.agents.record import delivery_rows as rows
from resources.agents.record.entries import Answer, Entries, Miss, SeenId, Sent
from resources.agents.record.event_rows import write_events
from resources.agents.wire.message import Message
from resources.core.errors import PlatformError
from resources.databases.timescale.connection import connect

log = structlog.get_logger(__name__)

LAZY_S = 0.2
"""How long what nobody waits for (sendings, heartbeats) gathers before it is written."""

GATHER_S = 0.04
"""How long answers gather while their message waits for others; the last one is written at once, with what is there."""

_RETRY_S = 1.0


class Recorder:
    """One thread with one connection."""

    def __init__(self, url: str) -> None:
        """Prepare; nothing is opened yet."""
        self._url = url
        self._changed = threading.Condition()
        self._entries = Entries()
        self._due = math.inf
        self._sent_due = math.inf
        self._closing = False
        self._connection: psycopg.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="agents-recorder", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is there, if the database lets it, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._connection is not None:
            self._connection.close()

    def answered(
        self, answer: Answer, seen: SeenId, *, done: bool, after: Iterable[Callable[[], None]], enough: bool = False
    ) -> None:
        """Store an answer soon; `done`: nobody is waited for any more; `enough`: though some have not answered."""
        with self._changed:
            self._entries.answers.append(answer)
            self._entries.seen.append(seen)
            if done:
                self._entries.done.append(answer.correlation_id)
            if enough:
                self._entries.enough.append(answer.correlation_id)
            self._entries.after.extend(after)
            self._write_within(0.0 if done or enough else GATHER_S)

    def saw(self, seen: SeenId, after: Callable[[], None]) -> None:
        """Store an id soon."""
        with self._changed:
            self._entries.seen.append(seen)
            self._entries.after.append(after)
            self._write_within(0.0)

    def missed(self, misses: Iterable[Miss], *, done: Iterable[str], after: Iterable[Callable[[], None]] = ()) -> None:
        """Store misses soon."""
        with self._changed:
            self._entries.misses.extend(misses)
            self._entries.done.extend(done)
            self._entries.after.extend(after)
            self._write_within(0.0)

    def sent(self, sent: Sent) -> None:
        """Store a sending within LAZY_S, or with the answer to it."""
        with self._changed:
            self._entries.sent.append(sent)
            self._sent_due = min(self._sent_due, time.monotonic() + LAZY_S)
            self._write_within(LAZY_S)

    def heard(self, state: AgentState, after: Callable[[], None] | None = None) -> None:
        """Store an agent's state within LAZY_S."""
        with self._changed:
            self._entries.agents[state.agent_id] = state
            if after is not None:
                self._entries.after.append(after)
            self._write_within(LAZY_S)

    def scored(self, scores: Mapping[str, Score]) -> None:
        """Store scores within LAZY_S."""
        if scores:
            with self._changed:
                self._entries.scores.update(scores)
                self._write_within(LAZY_S)

    def declared(self, roster: Roster, site: str) -> None:
        """Store within LAZY_S which agents a site declares."""
        with self._changed:
            self._entries.roster = (roster, site)
            self._write_within(LAZY_S)

    def event(self, event: Message, seen: SeenId, *, after: Iterable[Callable[[], None]]) -> None:
        """Store a received event soon."""
        with self._changed:
            self._entries.events.append(event)
            self._entries.seen.append(seen)
            self._entries.after.extend(after)
            self._write_within(0.0)

    def published(self, message_id: str, *, lapsed: bool = False, after: Iterable[Callable[[], None]] = ()) -> None:
        """Store soon that the broker has an event of ours, or (`lapsed`) that it came too late for that."""
        with self._changed:
            (self._entries.lapsed if lapsed else self._entries.done).append(message_id)
            self._entries.after.extend(after)
            self._write_within(0.0)

    def barrier(self, after: Callable[[], None]) -> None:
        """Call `after` once everything given so far is durable."""
        with self._changed:
            self._entries.after.append(after)
            self._write_within(0.0)

    def _write_within(self, seconds: float) -> None:
        """Have what was added written in time; woken only by what is more urgent than all before it."""
        due = time.monotonic() + seconds
        if due < self._due:
            self._due = due
            self._changed.notify()

    def _run(self) -> None:
        ended = False
        while not ended:
            with self._changed:
                while not self._closing and (left := self._due - time.monotonic()) > 0:
                    self._changed.wait(None if left == math.inf else left)
                entries = self._take()
                ended = self._closing
            self._write_until_done(entries)

    def _take(self) -> Entries:
        """Return what is to be written now; sendings whose answer may still come in time stay behind."""
        entries, self._entries, self._due = self._entries, Entries(), math.inf
        # what closes a delivery without an answer says whether it had been sent
        settles = entries.misses or entries.enough or entries.done
        if settles or self._closing or time.monotonic() >= self._sent_due:
            self._sent_due = math.inf
            return entries
        entries.sent, self._entries.sent = entries.sendings()
        if self._entries.sent:
            self._due = self._sent_due
        else:
            self._sent_due = math.inf
        return entries

    def _write_until_done(self, entries: Entries) -> None:
        if self._write_kept(entries):
            for call in entries.after:
                _guarded(call)

    def _write_kept(self, entries: Entries) -> bool:
        """Write entries, without those that never can be; return False if it closes before the database takes them."""
        failures = 0
        while True:
            try:
                self._write(entries)
            except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
                # trying again would not help, and one bad entry must not hold up the rest
                log.error("agents_record_refused", error=str(error).strip(), answers=len(entries.answers))
                self._drop_connection()
                return all(self._write_kept(part) for part in entries.apart())
            except (psycopg.Error, PlatformError) as error:
                failures += 1
                say = log.error if failures == 1 else log.debug
                say("agents_record_failed", error=str(error).strip(), answers=len(entries.answers))
                self._drop_connection()
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, _RETRY_S):
                        return False
            else:
                break
        if failures:
            log.info("agents_record_recovered", failures=failures)
        return True

    def _write(self, entries: Entries) -> None:
        if self._connection is None:
            self._connection = connect(self._url)
        connection = self._connection
        with connection.transaction(), connection.pipeline():
            met, others = entries.sendings()
            if others:
                rows.write_sent(connection, others)
            if entries.answers:
                rows.write_answers(connection, entries.answers, met)
            if entries.seen:
                rows.write_seen(connection, entries.seen)
            if entries.misses:
                rows.write_misses(connection, entries.misses)
            if entries.events:
                write_events(connection, entries.events)
            _write_registry(connection, entries)
            rows.write_circuits(connection, entries.answers, entries.misses)
            if entries.enough:
                rows.write_enough(connection, entries.enough)
            if entries.done:
                rows.write_ended(connection, entries.done, "done")
            if entries.lapsed:
                rows.write_ended(connection, entries.lapsed, "expired")

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _write_registry(connection: psycopg.Connection, entries: Entries) -> None:
    if entries.roster is not None:
        registry_rows.declare(connection, *entries.roster)
    if entries.agents:
        registry_rows.write_states(connection, entries.agents.values())
    if entries.scores:
        registry_rows.write_scores(connection, entries.scores)


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        # the recorder serves every message: a fault in one of its listeners must not end it
        log.exception("agents_recorded_callback_failed")
