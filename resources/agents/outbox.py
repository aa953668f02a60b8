"""The outbox: a command is a row before it is a packet.

`accept` writes the message and one delivery per target in one transaction and notifies whoever is orchestrating; what
is accepted is sent, by this process or by the next one. Ids make it safe to accept the same message twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from psycopg.rows import dict_row

from resources.agents.message import Message, rfc3339
from resources.agents.strict_json import loads
from resources.agents.tokens import LARGEST_TOKEN
from resources.core.errors import ConfigError, DataError

OUTBOX_CHANNEL = "gl_agents_outbox"
"""NOTIFY channel: the id of a message that was accepted."""

DONE_CHANNEL = "gl_agents_done"
"""NOTIFY channel: the id of a message whose every delivery has its final state."""

_ACCEPT = """
WITH message AS (
    INSERT INTO agents.messages (message_id, correlation_id, message_type, priority, source_agent, target_agents,
                                 payload, sent_at, deadline, status)
    VALUES (%(message_id)s, %(correlation_id)s, %(message_type)s, %(priority)s, %(source_agent)s, %(target_agents)s,
            %(payload)s::jsonb, %(sent_at)s, %(deadline)s, 'accepted')
    ON CONFLICT (message_id) DO NOTHING
    RETURNING message_id
), delivery AS (
    INSERT INTO agents.deliveries (message_id, agent_id, state)
    SELECT message_id, agent_id, 'queued' FROM message, unnest(%(target_agents)s::text[]) AS agent_id
)
SELECT pg_notify(%(channel)s, message_id) FROM message
"""

_COLUMNS = """
SELECT m.message_id, m.correlation_id, m.message_type, m.priority, m.source_agent, m.target_agents,
       m.payload::text AS payload, m.sent_at, extract(epoch FROM m.deadline - m.sent_at)::float8 AS timeout_s
FROM agents.messages m
"""

_OPEN = """
SELECT d.message_id, d.agent_id, d.attempts
FROM agents.deliveries d JOIN agents.messages m USING (message_id)
WHERE m.source_agent = %s AND d.state IN ('queued', 'sent') AND m.status = 'accepted'
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


def accept(connection: psycopg.Connection, message: Message) -> Accepted:
    """Store `message` and its deliveries in one transaction; the same id and content again changes nothing.

    Raises:
        DataError: The id is taken by other content, there is no target, or the payload can't be stored.
    """
    _refuse_too_large(message)
    targets = list(dict.fromkeys(message.target_agents))
    if not targets:
        raise DataError(f"command {message.message_id}: it has no targets; name at least one agent")
    payload = orjson.dumps(message.payload).decode()
    if "\\u0000" in payload:
        raise DataError(f"command {message.message_id}: its arguments hold a NUL character, which no table can keep")
    row = {
        **message.model_dump(exclude={"payload", "timestamp", "timeout_seconds", "topic", "session_id"}),
        "target_agents": targets,
        "payload": payload,
        "sent_at": message.sent_at,
        "deadline": message.deadline,
        "channel": OUTBOX_CHANNEL,
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
        raise DataError(
            f"command {message.message_id}: this id was used for another command; leave the id out to get a new one"
        )
    return Accepted(found, repeated=True)


def load(connection: psycopg.Connection, message_id: str) -> Message | None:
    """Return a stored message exactly as it was signed, None if there is none of that id."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_COLUMNS + "WHERE m.message_id = %s", (message_id,)).fetchone()
    return None if row is None else _message(row)


def load_open(connection: psycopg.Connection, source_agent: str, message_id: str | None = None) -> list[Open]:
    """Return every message of a sender that waits for an answer, or only the one of `message_id`."""
    which, parameters = (
        ("", (source_agent,)) if message_id is None else (" AND d.message_id = %s", (source_agent, message_id))
    )
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        waiting: dict[str, dict[str, int]] = {}
        for row in cursor.execute(_OPEN + which, parameters):
            waiting.setdefault(row["message_id"], {})[row["agent_id"]] = row["attempts"]
        rows = cursor.execute(_COLUMNS + "WHERE m.message_id = ANY(%s)", (list(waiting),)).fetchall()
    return [Open(_message(row), waiting[row["message_id"]]) for row in rows]


def _refuse_too_large(message: Message) -> None:
    # base64 of the claims, and room for header, identity claims and signature
    size = len(orjson.dumps(message.to_wire())) * 4 // 3 + 1024
    if size > LARGEST_TOKEN:
        raise DataError(
            f"command {message.message_id}: its token would have about {size} bytes, {LARGEST_TOKEN} are allowed; "
            "send a reference to the data in its place"
        )


def _content(message: Message) -> tuple[Any, ...]:
    # not the timestamp: whoever repeats a command has a later clock
    return (
        message.source_agent,
        message.message_type,
        orjson.dumps(message.payload, option=orjson.OPT_SORT_KEYS),
        sorted(set(message.target_agents)),
    )


def _message(row: dict[str, Any]) -> Message:
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
    )
