"""Received events as rows of `agents.messages`."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from resources.agents.wire.message import Message
from resources.agents.wire.stored_json import json_text

EVENT_CHANNEL = "gl_agents_event"
"""NOTIFY channel: `<topic> <message_id>` of an event that was stored."""

# the platform's own events come back from the broker: their rows are there already
_INSERT = """
WITH stored AS (
    INSERT INTO agents.messages (message_id, correlation_id, message_type, priority, source_agent, target_agents,
                                 payload, sent_at, deadline, status, topic)
    SELECT message_id, correlation_id, 'event', priority, source_agent,
           ARRAY(SELECT jsonb_array_elements_text(target_agents)), payload, sent_at, deadline, 'received', topic
    FROM jsonb_to_recordset(%s::jsonb)
        AS e (message_id text, correlation_id text, priority text, source_agent text, target_agents jsonb,
              payload jsonb, sent_at timestamptz, deadline timestamptz, topic text)
    ON CONFLICT (message_id) DO NOTHING
    RETURNING message_id, topic
)
SELECT pg_notify(%s, topic || ' ' || message_id) FROM stored
"""


def write_events(connection: psycopg.Connection, events: Sequence[Message]) -> None:
    """Insert events that are not there yet, and notify EVENT_CHANNEL of each; the caller commits."""
    rows = [
        {
            "message_id": event.message_id,
            "correlation_id": event.correlation_id,
            "priority": event.priority,
            "source_agent": event.source_agent,
            "target_agents": event.target_agents,
            "payload": event.payload,
            "sent_at": event.sent_at,
            "deadline": event.deadline,
            "topic": event.topic,
        }
        for event in events
    ]
    connection.execute(_INSERT, (json_text(rows), EVENT_CHANNEL))
