"""What the orchestrator knew when it stopped: the agents' sessions and the ids it had seen."""

from __future__ import annotations

from datetime import datetime

import psycopg

from resources.agents.registry import AgentState

_STATES = """
SELECT agent_id, agent_name, agent_type, capabilities, status, last_heartbeat, session_id, issued_at, s.message_id,
       commands
FROM agents.registry r JOIN agents.sessions s USING (agent_id)
"""


def load_states(connection: psycopg.Connection) -> list[AgentState]:
    """Return the stored state of every agent that was ever heard of."""
    rows = connection.execute(_STATES).fetchall()
    return [
        AgentState(agent, name, kind, tuple(capabilities), status, at, session, issued, message, tuple(commands))
        for agent, name, kind, capabilities, status, at, session, issued, message, commands in rows
    ]


def load_seen(connection: psycopg.Connection, now: datetime) -> dict[str, tuple[bytes, datetime]]:
    """Return message_id -> (content hash, until when it is kept) of the ids that still count."""
    rows = connection.execute(
        "SELECT message_id, content_hash, keep_until FROM agents.seen_ids WHERE keep_until >= %s", (now,)
    )
    return {message_id: (bytes(content_hash), until) for message_id, content_hash, until in rows}


def forget_seen(connection: psycopg.Connection, now: datetime) -> None:
    """Delete the ids that no longer count."""
    connection.execute("DELETE FROM agents.seen_ids WHERE keep_until < %s", (now,))
