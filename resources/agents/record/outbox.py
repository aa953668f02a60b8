"""The outbox: a command or an event is a row before it is a packet.

`accept` writes the message and one delivery per target in one transaction and notifies whoever is orchestrating; what
is accepted is sent, by this process or by the next one. Ids make it safe to accept the same message twice.

========== ======================================================================================
status     of a message
========== ======================================================================================
accepted   open: sent, or to be sent
done       every delivery has its final state; of an event: the broker has taken it over
cancelled  withdrawn while it was open: nothing more is sent of it
expired    an event that the broker had not taken over at its deadline
received   an event of somebody else, as it arrived
========== ======================================================================================
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
import structlog
from psycopg.rows import dict_row

from resources.agents.record.release import Release
from resources.agents.security.tokens import LARGEST_TOKEN
from resources.agents.wire.canonical import canonical
from resources.agents.wire.message import Message, rfc3339
from resources.agents.wire.strict_json import StrictJsonError, loads
from resources.core.errors import ConfigError, DataError

log = structlog.get_logger(__name__)

OUTBOX_CHANNEL = "gl_agents_outbox"
"""NOTIFY channel: the id of a message that was accepted."""

DONE_CHANNEL = "gl_agents_done"
"""NOTIFY channel: the id of a message that is no longer open."""

CANCELLED_CHANNEL = "gl_agents_cancelled"
"""NOTIFY channel: the id of a message that was withdrawn."""

BROKER = ""
"""Whom the schedule waits for in the place of targets where a message is an event: the broker's PUBACK ends it."""

_ACCEPT = """
WITH message AS (
    INSERT INTO agents.messages (message_id, correlation_id, message_type, priority, source_agent, target_agents,
                                 payload, sent_at, deadline, status, topic, release)
    VALUES (%(message_id)s, %(correlation_id)s, %(message_type)s, %(priority)s, %(source_agent)s, %(target_agents)s,
            %(payload)s::jsonb, %(sent_at)s, %(deadline)s, 'accepted', %(topic)s,
            %(release)s::jsonb)
    ON CONFLICT (message_id) DO NOTHING
    RETURNING message_id
), delivery AS (
    INSERT INTO agents.deliveries (message_id, agent_id, state)
    SELECT message_id, agent_id, 'queued' FROM message, unnest(%(target_agents)s::text[]) AS agent_id
    WHERE %(message_type)s <> 'event'
)
SELECT pg_notify(%(channel)s, message_id) FROM message
"""

_COLUMNS = """
SELECT m.message_id, m.correlation_id, m.message_type, m.priority, m.source_agent, m.target_agents,
       m.payload::text AS payload, m.sent_at, extract(epoch FROM m.deadline - m.sent_at)::float8 AS timeout_s, m.topic,
       m.release
FROM agents.messages m
"""

_OPEN = """
SELECT m.message_id, coalesce(d.agent_id, ''), coalesce(d.attempts, 0)
FROM agents.messages m LEFT JOIN agents.deliveries d ON d.message_id = m.message_id AND d.state IN ('queued', 'sent')
WHERE m.source_agent = %s AND m.status = 'accepted' AND (d.agent_id IS NOT NULL OR m.message_type = 'event')
"""

_STILL_OPEN = "SELECT message_id FROM agents.messages WHERE message_id = ANY(%s) AND status = 'accepted'"

_GOOD = """
SELECT message_id, count(*) FROM agents.deliveries WHERE message_id = ANY(%s) AND state = 'answered' GROUP BY 1
"""

# a delivery keeps to the contract's states: `expired` is the one of a target whose answer nobody waits for any more
_CANCEL = """
WITH cancelled AS (
    UPDATE agents.messages SET status = 'cancelled'
    WHERE message_id = %(message_id)s AND source_agent = %(source_agent)s AND status = 'accepted'
    RETURNING message_id
), delivery AS (
    UPDATE agents.deliveries d
    SET state = 'expired',
        reason = CASE d.state WHEN 'queued' THEN 'cancelled before it was sent'
                              ELSE 'cancelled; it had been sent, so the agent may run it' END
    FROM cancelled WHERE d.message_id = cancelled.message_id AND d.state IN ('queued', 'sent')
)
SELECT pg_notify(%(cancelled)s, message_id), pg_notify(%(done)s, message_id) FROM cancelled
"""

_END_UNREADABLE = """
WITH ended AS (
    UPDATE agents.messages SET status = CASE message_type WHEN 'event' THEN 'expired' ELSE 'done' END
    WHERE message_id = %(message_id)s AND status = 'accepted'
    RETURNING message_id
), delivery AS (
    UPDATE agents.deliveries d SET state = 'expired', reason = %(reason)s
    FROM ended WHERE d.message_id = ended.message_id AND d.state IN ('queued', 'sent')
)
SELECT pg_notify(%(done)s, message_id) FROM ended
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message as the outbox holds it; `repeated` if it was there before."""

    message: Message
    repeated: bool


@dataclass(frozen=True, slots=True)
class Open:
    """A message with its targets that have no final state yet, and how often it was sent to each."""

    message: Message
    attempts: dict[str, int]
    release: Release | None = None
    """How it is let go to its targets; None: to all at once."""
    good: int = 0
    """Good answers that are there already; counted where there is a `release`."""


def accept(connection: psycopg.Connection, message: Message, *, release: Release | None = None) -> Accepted:
    """Store `message` and its deliveries in one transaction; the same id and content again changes nothing.

    Args:
        connection: Of the database.
        message: What is to be sent.
        release: How it is let go to its targets, in their order; None: to all at once.

    Raises:
        DataError: The id is taken by other content, there is no target, or the payload can't be sent or stored.
    """
    refuse_unsendable(message)
    targets = list(dict.fromkeys(message.target_agents))
    if not targets and message.message_type != "event":
        raise DataError(f"{_name(message)}: it has no targets; name at least one agent")
    payload = orjson.dumps(message.payload).decode()
    if "\\u0000" in payload:
        raise DataError(f"{_name(message)}: its payload holds a NUL character, which no table can keep")
    row = {
        **message.model_dump(exclude={"payload", "timestamp", "timeout_seconds", "session_id"}),
        "target_agents": targets,
        "payload": payload,
        "sent_at": message.sent_at,
        "deadline": message.deadline,
        "channel": OUTBOX_CHANNEL,
        "release": None if release is None else orjson.dumps(release.to_json()).decode(),
    }
    try:
        with connection.transaction():
            stored = connection.execute(_ACCEPT, row).fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise ConfigError("the database has no tables of the agents: run `gl up` or migrate it first") from error
    if stored is not None:
        return Accepted(message, repeated=False)
    found = load(connection, message.message_id)
    if found is None or _content(found) != _content(message):
        raise DataError(f"{_name(message)}: this id was used for another message; leave the id out to get a new one")
    return Accepted(found, repeated=True)


def cancel(connection: psycopg.Connection, source_agent: str, message_id: str) -> bool:
    """Withdraw an open message of a sender: nothing more is sent of it; return whether it was open.

    What the broker has already taken over can't be called back. An answer that still comes is stored.
    """
    names = {"message_id": message_id, "source_agent": source_agent}
    channels = {"cancelled": CANCELLED_CHANNEL, "done": DONE_CHANNEL}
    with connection.transaction():
        return connection.execute(_CANCEL, {**names, **channels}).fetchone() is not None


def status(connection: psycopg.Connection, message_id: str) -> str | None:
    """Return a message's status, None if there is no message of that id."""
    row = connection.execute("SELECT status FROM agents.messages WHERE message_id = %s", (message_id,)).fetchone()
    return None if row is None else str(row[0])


def still_open(connection: psycopg.Connection, message_ids: Collection[str]) -> set[str]:
    """Return those messages of `message_ids` that are open."""
    rows = connection.execute(_STILL_OPEN, (list(message_ids),)) if message_ids else ()
    return {message_id for (message_id,) in rows}


def load(connection: psycopg.Connection, message_id: str) -> Message | None:
    """Return a stored message exactly as it was signed, None if there is none of that id.

    Raises:
        DataError: Its row holds what no message can be.
    """
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_COLUMNS + "WHERE m.message_id = %s", (message_id,)).fetchone()
    return None if row is None else _message(row)


def load_open(connection: psycopg.Connection, source_agent: str, message_id: str | None = None) -> list[Open]:
    """Return every open message of a sender, or only the one of `message_id`; an event waits for BROKER.

    One whose row can't be read is ended with that reason: it must not keep the others from being sent.
    """
    which, parameters = (
        ("", (source_agent,)) if message_id is None else (" AND m.message_id = %s", (source_agent, message_id))
    )
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        waiting: dict[str, dict[str, int]] = {}
        for found, agent_id, attempts in connection.execute(_OPEN + which, parameters):
            waiting.setdefault(found, {})[agent_id] = attempts
        rows = cursor.execute(_COLUMNS + "WHERE m.message_id = ANY(%s)", (list(waiting),)).fetchall()
        counted = [row["message_id"] for row in rows if row["release"] is not None]
        good: dict[str, int] = dict(connection.execute(_GOOD, (counted,)).fetchall()) if counted else {}
    opened = []
    for row in rows:
        try:
            opened.append(_open(row, waiting[row["message_id"]], good.get(row["message_id"], 0)))
        except DataError as error:
            _end_unreadable(connection, row["message_id"], str(error))
    return opened


def load_release(connection: psycopg.Connection, message_id: str) -> Release | None:
    """Return how a stored message is let go to its targets; None: to all at once."""
    row = connection.execute("SELECT release FROM agents.messages WHERE message_id = %s", (message_id,)).fetchone()
    return None if row is None or row[0] is None else Release.from_json(row[0])


def _name(message: Message) -> str:
    """Return what a message is called in errors."""
    return f"{message.message_type} {message.message_id}"


def _end_unreadable(connection: psycopg.Connection, message_id: str, why: str) -> None:
    log.error("message_unreadable", message_id=message_id, error=why)
    given = {"message_id": message_id, "reason": f"it could not be sent: {why}", "done": DONE_CHANNEL}
    with connection.transaction():
        connection.execute(_END_UNREADABLE, given)


def refuse_unsendable(message: Message) -> None:
    """Refuse what no receiver would take.

    Raises:
        DataError: It is too large, or not JSON as the wire allows it, such as nested too deep.
    """
    try:
        # in the claims, since their depth is what is bounded
        text = orjson.dumps({"msg": message.to_wire()})
    except orjson.JSONEncodeError as error:
        raise DataError(f"{_name(message)}: its payload cannot be written as JSON: {error}") from error
    # base64 of the claims, and room for header, identity claims and signature
    size = len(text) * 4 // 3 + 1024
    if size > LARGEST_TOKEN:
        raise DataError(
            f"{_name(message)}: its token would have about {size} bytes, {LARGEST_TOKEN} are allowed; "
            "send a reference to the data in its place"
        )
    try:
        loads(text)
    except StrictJsonError as error:
        raise DataError(f"{_name(message)}: agents would refuse its token: {error}; send it in another form") from error


def _content(message: Message) -> tuple[Any, ...]:
    # not the timestamp: whoever repeats a command has a later clock
    return (
        message.source_agent,
        message.message_type,
        message.topic,
        # in the form that is hashed: the table gives back a large integer as a float, and -0.0 as 0.0
        canonical(loads(orjson.dumps(message.payload))),
        sorted(set(message.target_agents)),
    )


def _open(row: dict[str, Any], attempts: dict[str, int], good: int) -> Open:
    message = _message(row)
    if row["release"] is None:
        return Open(message, attempts)
    ordered = {agent_id: attempts[agent_id] for agent_id in message.target_agents if agent_id in attempts}
    return Open(message, ordered, Release.from_json(row["release"]), good)


def _message(row: dict[str, Any]) -> Message:
    try:
        return _message_of(row)
    except ValueError as error:
        # what pydantic says would quote the row
        why = str(error) if isinstance(error, StrictJsonError) else type(error).__name__
        raise DataError(f"{row['message_type']} {row['message_id']}: its row cannot be read: {why}") from error


def _message_of(row: dict[str, Any]) -> Message:
    seconds = round(row["timeout_s"], 3)
    return Message(
        message_id=row["message_id"],
        correlation_id=row["correlation_id"],
        message_type=row["message_type"],
        priority=row["priority"],
        source_agent=row["source_agent"],
        target_agents=list(row["target_agents"]),
        payload=loads(row["payload"].encode()),
        timestamp=rfc3339(row["sent_at"]),
        timeout_seconds=int(seconds) if seconds == int(seconds) else seconds,
        topic=row["topic"],
    )
