"""Sendings, answers, misses and ends of messages as rows; the caller commits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from resources.agents.record.circuits import note_answers, note_failures
from resources.agents.record.entries import Answer, Miss, SeenId, Sent
from resources.agents.record.outbox import DONE_CHANNEL
from resources.agents.wire.stored_json import json_text

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
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[],
                         %s::timestamptz[], %s::int[])
    AS t (message_id, correlation_id, agent_id, state, payload, received_at, reason, sent_at, times)
), decided AS (
    UPDATE agents.deliveries d
    SET state = i.state, answered_at = i.received_at, reason = i.reason, attempts = d.attempts + i.times,
        sent_at = coalesce(d.sent_at, i.sent_at)
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


def write_sent(connection: psycopg.Connection, sent: Sequence[Sent]) -> None:
    """Count sendings that the broker has taken over."""
    connection.execute(_SENT, _columns(sent, "message_id", "agent_id", "at"))


def write_answers(connection: psycopg.Connection, answers: Sequence[Answer], sent: Sequence[Sent] = ()) -> None:
    """Store answers, and the state each decides: an answer replaces `expired`, never another answer.

    Args:
        connection: Of the database.
        answers: The answers.
        sent: Sendings that these answers answer: a delivery's row is written once for both.
    """
    # one answer per delivery: two in one statement would both find it open
    first = list({(a.correlation_id, a.agent_id): a for a in reversed(answers)}.values())
    times: dict[tuple[str, str], list[datetime]] = {}
    for sending in sent:
        times.setdefault((sending.message_id, sending.agent_id), []).append(sending.at)
    sendings = [times.get((answer.correlation_id, answer.agent_id), []) for answer in first]
    names = ("message_id", "correlation_id", "agent_id", "state", "payload", "received_at", "reason")
    columns = _columns(first, *names)
    columns[4] = [json_text(answer.payload) for answer in first]
    columns += [[min(at, default=None) for at in sendings], [len(at) for at in sendings]]
    connection.execute(_ANSWERS, columns)


def write_seen(connection: psycopg.Connection, seen: Sequence[SeenId]) -> None:
    """Keep ids."""
    connection.execute(_SEEN, _columns(seen, "message_id", "content_hash", "keep_until"))


def write_misses(connection: psycopg.Connection, misses: Sequence[Miss]) -> None:
    """Set deliveries without an answer to `expired`."""
    connection.execute(_MISSED, _columns(misses, "message_id", "agent_id", "reason"))


def write_circuits(connection: psycopg.Connection, answers: Sequence[Answer], misses: Sequence[Miss]) -> None:
    """Note who answered and who was silent."""
    crashed = [(a.correlation_id, a.agent_id) for a in answers if a.state == "in_doubt"]
    note_answers(connection, {a.agent_id for a in answers if a.state != "in_doubt"})
    silent = [(m.message_id, m.agent_id) for m in misses]
    note_failures(connection, [*crashed, *silent], datetime.now(UTC))


def write_enough(connection: psycopg.Connection, message_ids: Sequence[str]) -> None:
    """Close the open deliveries of messages whose good answers suffice."""
    connection.execute(_ENOUGH, (list(message_ids),))


def write_ended(connection: psycopg.Connection, message_ids: Sequence[str], status: str) -> None:
    """End messages that are open, and notify DONE_CHANNEL of each."""
    connection.execute(_ENDED, {"ids": list(message_ids), "status": status, "channel": DONE_CHANNEL})


def _columns(rows: Iterable[Any], *names: str) -> list[list[Any]]:
    return [[getattr(row, name) for row in rows] for name in names]
