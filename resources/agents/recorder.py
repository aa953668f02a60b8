"""The orchestrator's pen: answers, sendings, misses and heartbeats, written in bulk by group commit.

While one transaction commits, the next entries gather; 99 answers are one insert. What cannot be written is kept and
tried again, and its messages stay unacknowledged at the broker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog

from resources.agents import registry_rows
from resources.agents.circuits import note_answers, note_failures
from resources.agents.event_rows import write_events
from resources.agents.message import Message
from resources.agents.outbox import DONE_CHANNEL
from resources.agents.registry import AgentState
from resources.agents.roster import Roster
from resources.agents.score import Score
from resources.agents.stored_json import json_text
from resources.core.errors import PlatformError
from resources.databases.timescale.connection import connect

log = structlog.get_logger(__name__)

LAZY_S = 0.2
"""How long what nobody waits for (sendings, heartbeats) gathers before it is written."""

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to be stored: `state` is the delivery's final state."""

    message_id: str
    correlation_id: str
    agent_id: str
    state: str
    payload: dict[str, Any]
    received_at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class SeenId:
    """An id to be remembered until its deadline plus skew."""

    message_id: str
    content_hash: bytes
    keep_until: datetime


@dataclass(frozen=True, slots=True)
class Miss:
    """A delivery that has expired."""

    message_id: str
    agent_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The broker has taken over one sending."""

    message_id: str
    agent_id: str
    at: datetime


@dataclass(slots=True)
class Entries:
    """What one transaction writes, and what is called after it."""

    answers: list[Answer] = field(default_factory=list)
    seen: list[SeenId] = field(default_factory=list)
    misses: list[Miss] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    agents: dict[str, AgentState] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    roster: tuple[Roster, str] | None = None
    events: list[Message] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    lapsed: list[str] = field(default_factory=list)
    """Events that no broker has taken over before their deadline."""
    enough: list[str] = field(default_factory=list)
    """Messages that are done though targets are left: their good answers suffice."""
    after: list[Callable[[], None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return any(getattr(self, name) for name in self.__slots__)


class Recorder:
    """One thread with one connection."""

    def __init__(self, url: str) -> None:
        """Prepare; nothing is opened yet."""
        self._url = url
        self._changed = threading.Condition()
        self._entries = Entries()
        self._urgent = False
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
            self._wake()

    def saw(self, seen: SeenId, after: Callable[[], None]) -> None:
        """Store an id soon."""
        with self._changed:
            self._entries.seen.append(seen)
            self._entries.after.append(after)
            self._wake()

    def missed(self, misses: Iterable[Miss], *, done: Iterable[str], after: Iterable[Callable[[], None]] = ()) -> None:
        """Store misses soon."""
        with self._changed:
            self._entries.misses.extend(misses)
            self._entries.done.extend(done)
            self._entries.after.extend(after)
            self._wake()

    def sent(self, sent: Sent) -> None:
        """Store a sending within LAZY_S."""
        with self._changed:
            self._entries.sent.append(sent)
            self._changed.notify()

    def heard(self, state: AgentState, after: Callable[[], None] | None = None) -> None:
        """Store an agent's state within LAZY_S."""
        with self._changed:
            self._entries.agents[state.agent_id] = state
            if after is not None:
                self._entries.after.append(after)
            self._changed.notify()

    def scored(self, scores: Mapping[str, Score]) -> None:
        """Store scores within LAZY_S."""
        if scores:
            with self._changed:
                self._entries.scores.update(scores)
                self._changed.notify()

    def declared(self, roster: Roster, site: str) -> None:
        """Store within LAZY_S which agents a site declares."""
        with self._changed:
            self._entries.roster = (roster, site)
            self._changed.notify()

    def event(self, event: Message, seen: SeenId, *, after: Iterable[Callable[[], None]]) -> None:
        """Store a received event soon."""
        with self._changed:
            self._entries.events.append(event)
            self._entries.seen.append(seen)
            self._entries.after.extend(after)
            self._wake()

    def published(self, message_id: str, *, lapsed: bool = False, after: Iterable[Callable[[], None]] = ()) -> None:
        """Store soon that the broker has an event of ours, or (`lapsed`) that it came too late for that."""
        with self._changed:
            (self._entries.lapsed if lapsed else self._entries.done).append(message_id)
            self._entries.after.extend(after)
            self._wake()

    def barrier(self, after: Callable[[], None]) -> None:
        """Call `after` once everything given so far is durable."""
        with self._changed:
            self._entries.after.append(after)
            self._wake()

    def _wake(self) -> None:
        self._urgent = True
        self._changed.notify()

    def _run(self) -> None:
        ended = False
        while not ended:
            with self._changed:
                self._changed.wait_for(lambda: self._entries or self._closing)
                self._changed.wait_for(lambda: self._urgent or self._closing, LAZY_S)
                entries, self._entries, self._urgent = self._entries, Entries(), False
                ended = self._closing
            self._write_until_done(entries)

    def _write_until_done(self, entries: Entries) -> None:
        failures = 0
        while True:
            try:
                self._write(entries)
            except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
                # trying again would not help, and one bad entry must not hold up the rest
                log.error("agents_record_refused", error=str(error).strip(), answers=len(entries.answers))
                self._drop_connection()
                if len(entries.answers) <= 1:
                    break
                for part in _apart(entries):
                    self._write_until_done(part)
                return
            except (psycopg.Error, PlatformError) as error:
                failures += 1
                say = log.error if failures == 1 else log.debug
                say("agents_record_failed", error=str(error).strip(), answers=len(entries.answers))
                self._drop_connection()
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, _RETRY_S):
                        return
            else:
                break
        if failures:
            log.info("agents_record_recovered", failures=failures)
        for call in entries.after:
            _guarded(call)

    def _write(self, entries: Entries) -> None:
        if self._connection is None:
            self._connection = connect(self._url)
        connection = self._connection
        with connection.transaction(), connection.pipeline():
            if entries.sent:
                connection.execute(_SENT, _columns(entries.sent, "message_id", "agent_id", "at"))
            if entries.answers:
                _write_answers(connection, entries.answers)
            if entries.seen:
                connection.execute(_SEEN, _columns(entries.seen, "message_id", "content_hash", "keep_until"))
            if entries.misses:
                connection.execute(_MISSED, _columns(entries.misses, "message_id", "agent_id", "reason"))
            if entries.events:
                write_events(connection, entries.events)
            _write_registry(connection, entries)
            _note_circuits(connection, entries)
            if entries.enough:
                connection.execute(_ENOUGH, (entries.enough,))
            if entries.done:
                _end(connection, entries.done, "done")
            if entries.lapsed:
                _end(connection, entries.lapsed, "expired")

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_SENT = """
UPDATE agents.deliveries d
SET attempts = d.attempts + s.times, sent_at = coalesce(d.sent_at, s.at),
    state = CASE d.state WHEN 'queued' THEN 'sent' ELSE d.state END
FROM (
    SELECT message_id, agent_id, min(at) AS at, count(*)::int AS times
    FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS t (message_id, agent_id, at) GROUP BY 1, 2
) s
WHERE d.message_id = s.message_id AND d.agent_id = s.agent_id
"""

# an answer replaces `expired`, never another answer; its response is stored only if it decided the delivery
_ANSWERS = """
WITH incoming AS (
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[])
    AS t (message_id, correlation_id, agent_id, state, payload, received_at, reason)
), decided AS (
    UPDATE agents.deliveries d SET state = i.state, answered_at = i.received_at, reason = i.reason
    FROM incoming i
    WHERE d.message_id = i.correlation_id AND d.agent_id = i.agent_id AND d.state IN ('queued', 'sent', 'expired')
    RETURNING i.message_id
)
INSERT INTO agents.responses (message_id, correlation_id, agent_id, payload, received_at, latency_ms)
SELECT i.message_id, i.correlation_id, i.agent_id, i.payload::jsonb, i.received_at,
       extract(epoch FROM i.received_at - m.sent_at) * 1000
FROM incoming i JOIN decided USING (message_id) JOIN agents.messages m ON m.message_id = i.correlation_id
ON CONFLICT (message_id) DO NOTHING
"""

_SEEN = """
INSERT INTO agents.seen_ids (message_id, content_hash, keep_until)
SELECT * FROM unnest(%s::text[], %s::bytea[], %s::timestamptz[]) ON CONFLICT (message_id) DO NOTHING
"""

_MISSED = """
UPDATE agents.deliveries d SET state = 'expired', reason = m.reason
FROM unnest(%s::text[], %s::text[], %s::text[]) AS m (message_id, agent_id, reason)
WHERE d.message_id = m.message_id AND d.agent_id = m.agent_id AND d.state IN ('queued', 'sent')
"""

_ENOUGH = """
UPDATE agents.deliveries
SET state = 'expired',
    reason = CASE state WHEN 'queued' THEN 'not sent: the good answers before its turn were enough'
                        ELSE 'not awaited: the other good answers were enough' END
WHERE message_id = ANY(%s) AND state IN ('queued', 'sent')
"""

# what was cancelled stays so
_ENDED = """
WITH ended AS (
    UPDATE agents.messages SET status = %(status)s
    WHERE message_id = ANY(%(ids)s) AND status = 'accepted' RETURNING message_id
)
SELECT pg_notify(%(channel)s, message_id) FROM ended
"""


def _write_registry(connection: psycopg.Connection, entries: Entries) -> None:
    if entries.roster is not None:
        registry_rows.declare(connection, *entries.roster)
    if entries.agents:
        registry_rows.write_states(connection, entries.agents.values())
    if entries.scores:
        registry_rows.write_scores(connection, entries.scores)


def _end(connection: psycopg.Connection, message_ids: list[str], status: str) -> None:
    connection.execute(_ENDED, {"ids": message_ids, "status": status, "channel": DONE_CHANNEL})


def _write_answers(connection: psycopg.Connection, answers: list[Answer]) -> None:
    # one answer per delivery: two in one statement would both find it open
    first = list({(a.correlation_id, a.agent_id): a for a in reversed(answers)}.values())
    names = ("message_id", "correlation_id", "agent_id", "state", "payload", "received_at", "reason")
    columns = _columns(first, *names)
    columns[4] = [json_text(answer.payload) for answer in first]
    connection.execute(_ANSWERS, columns)


def _note_circuits(connection: psycopg.Connection, entries: Entries) -> None:
    crashed = [(a.correlation_id, a.agent_id) for a in entries.answers if a.state == "in_doubt"]
    note_answers(connection, {a.agent_id for a in entries.answers if a.state != "in_doubt"})
    silent = [(m.message_id, m.agent_id) for m in entries.misses]
    note_failures(connection, [*crashed, *silent], datetime.now(UTC))


def _apart(entries: Entries) -> list[Entries]:
    """Return each answer by itself, and then everything else."""
    rest = replace(entries, answers=[])
    return [*(Entries(answers=[answer]) for answer in entries.answers), rest]


def _columns(rows: Iterable[Any], *names: str) -> list[list[Any]]:
    return [[getattr(row, name) for row in rows] for name in names]


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        # the recorder serves every message: a fault in one of its listeners must not end it
        log.exception("agents_recorded_callback_failed")
