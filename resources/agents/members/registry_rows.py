"""The rows of `agents.registry` and `agents.sessions`: what is known of all agents, written and read in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from resources.agents.members.health import NEVER_HEARD, OFFLINE
from resources.agents.members.registry import AgentState
from resources.agents.members.roster import Roster
from resources.agents.members.score import Score
from resources.agents.wire.stored_json import json_text

_REGISTRY = """
INSERT INTO agents.registry (agent_id, agent_name, agent_type, capabilities, status, reported_status, status_reason,
                             last_heartbeat)
SELECT agent_id, agent_name, agent_type, ARRAY(SELECT jsonb_array_elements_text(capabilities)), status, reported,
       reason, last_heartbeat
FROM jsonb_to_recordset(%s::jsonb)
    AS r (agent_id text, agent_name text, agent_type text, capabilities jsonb, status text, reported text, reason text,
          last_heartbeat timestamptz)
ON CONFLICT (agent_id) DO UPDATE
SET agent_name = excluded.agent_name, agent_type = excluded.agent_type, capabilities = excluded.capabilities,
    status = excluded.status, reported_status = excluded.reported_status, status_reason = excluded.status_reason,
    last_heartbeat = excluded.last_heartbeat
"""

_SESSIONS = """
INSERT INTO agents.sessions (agent_id, session_id, issued_at, message_id, commands)
SELECT agent_id, session_id, issued_at, message_id, commands
FROM jsonb_to_recordset(%s::jsonb)
    AS r (agent_id text, session_id text, issued_at timestamptz, message_id text, commands jsonb)
ON CONFLICT (agent_id) DO UPDATE
SET session_id = excluded.session_id, issued_at = excluded.issued_at, message_id = excluded.message_id,
    commands = excluded.commands
"""

_STATES = """
SELECT agent_id, agent_name, agent_type, capabilities, status, last_heartbeat, session_id, issued_at, s.message_id,
       commands, coalesce(reported_status, status), status_reason
FROM agents.registry r JOIN agents.sessions s USING (agent_id)
"""

_WRITE_SCORES = """
UPDATE agents.registry r
SET performance_score = s.value, score_good = s.good, score_weight = s.weight, score_at = s.at
FROM unnest(%s::text[], %s::float8[], %s::float8[], %s::float8[], %s::timestamptz[])
    AS s (agent_id, value, good, weight, at)
WHERE r.agent_id = s.agent_id
"""

_SCORES = "SELECT agent_id, score_good, score_weight, score_at FROM agents.registry WHERE score_at IS NOT NULL"

# what a heartbeat has said stays: the agent knows better than the file what it can do
_DECLARE = """
INSERT INTO agents.registry AS r
    (agent_id, agent_name, agent_type, capabilities, status, status_reason, declared, declared_site)
SELECT d.agent_id, d.name, d.type, ARRAY(SELECT jsonb_array_elements_text(d.capabilities)), %(status)s, %(reason)s,
       true, %(site)s
FROM jsonb_to_recordset(%(rows)s::jsonb) AS d (agent_id text, name text, type text, capabilities jsonb)
ORDER BY d.agent_id
ON CONFLICT (agent_id) DO UPDATE
SET declared = true, declared_site = excluded.declared_site,
    agent_name = CASE WHEN r.last_heartbeat IS NULL THEN excluded.agent_name ELSE r.agent_name END,
    agent_type = CASE WHEN r.last_heartbeat IS NULL THEN excluded.agent_type ELSE r.agent_type END,
    capabilities = CASE WHEN r.last_heartbeat IS NULL THEN excluded.capabilities ELSE r.capabilities END
WHERE NOT r.declared OR r.declared_site IS DISTINCT FROM excluded.declared_site OR r.last_heartbeat IS NULL
"""

_FORGET = """
DELETE FROM agents.registry
WHERE declared_site = %(site)s AND last_heartbeat IS NULL AND NOT agent_id = ANY(%(ids)s)
"""

_UNDECLARE = """
UPDATE agents.registry SET declared = false, declared_site = NULL
WHERE declared_site = %(site)s AND NOT agent_id = ANY(%(ids)s)
"""


def write_states(connection: psycopg.Connection, states: Iterable[AgentState]) -> None:
    """Write what heartbeats, wills and silence have made of agents."""
    ordered = sorted(states, key=lambda state: state.agent_id)
    rows = json_text([{name: getattr(state, name) for name in AgentState.__slots__} for state in ordered])
    connection.execute(_REGISTRY, (rows,))
    connection.execute(_SESSIONS, (rows,))


def load_states(connection: psycopg.Connection) -> list[AgentState]:
    """Return the stored state of every agent that was ever heard of."""
    return [
        AgentState(agent, name, kind, tuple(can), status, at, session, issued, message, tuple(commands), *health)
        for agent, name, kind, can, status, at, session, issued, message, commands, *health in connection.execute(
            _STATES
        )
    ]


def write_scores(connection: psycopg.Connection, scores: Mapping[str, Score]) -> None:
    """Write scores; one of an agent that is not in the registry is left out."""
    found = sorted(scores.items())
    names = ("value", "good", "weight", "at")
    columns: list[list[Any]] = [[getattr(score, name) for _, score in found] for name in names]
    connection.execute(_WRITE_SCORES, [[agent_id for agent_id, _ in found], *columns])


def load_scores(connection: psycopg.Connection) -> dict[str, Score]:
    """Return the stored score of every agent that has one."""
    return {agent_id: Score(good, weight, at) for agent_id, good, weight, at in connection.execute(_SCORES)}


def declare(connection: psycopg.Connection, roster: Roster, site: str) -> None:
    """Make the registry name exactly the agents of `roster` as declared for `site`.

    Those that are new begin offline and never heard of. Those no longer declared go if they were never heard of, and
    stay as discovered ones if they were.
    """
    rows = [{"agent_id": agent_id, **agent.model_dump()} for agent_id, agent in roster.agents.items()]
    given = {
        "rows": json_text(rows),
        "ids": list(roster.agents),
        "site": site,
        "status": OFFLINE,
        "reason": NEVER_HEARD,
    }
    with connection.transaction():
        connection.execute(_DECLARE, given)
        connection.execute(_FORGET, given)
        connection.execute(_UNDECLARE, given)
