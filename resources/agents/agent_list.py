"""Who is there, for people and jobs: the registry as of now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

# a heartbeat that is missing for three intervals means offline, also where no orchestrator runs to note it
_AGENTS = """
SELECT agent_id, agent_name, agent_type, capabilities,
       CASE WHEN last_heartbeat < now() - interval '90 s' THEN 'offline' ELSE status END,
       last_heartbeat, performance_score
FROM agents.registry ORDER BY agent_id
"""

_HEALTH = """
SELECT a.agent_id, count(d.message_id), count(*) FILTER (WHERE d.state = 'answered'),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY r.latency_ms),
       percentile_cont(0.99) WITHIN GROUP (ORDER BY r.latency_ms)
FROM unnest(%s::text[]) AS a (agent_id)
LEFT JOIN agents.deliveries d USING (agent_id)
LEFT JOIN agents.responses r ON r.correlation_id = d.message_id AND r.agent_id = d.agent_id
GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class ListedAgent:
    """A row of `agents.registry`, with the status as of now."""

    agent_id: str
    agent_name: str
    agent_type: str
    capabilities: list[str]
    status: str
    last_heartbeat: datetime | None
    performance_score: float | None


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """How an agent has answered so far; latencies in milliseconds, None if it never has."""

    agent_id: str
    commands: int
    answered: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None


def list_agents(connection: psycopg.Connection) -> list[ListedAgent]:
    """Return every agent that was ever heard of, by id."""
    return [ListedAgent(*row) for row in connection.execute(_AGENTS)]


def agent_health(connection: psycopg.Connection, agent_ids: Sequence[str]) -> list[AgentHealth]:
    """Return how each of `agent_ids` has answered all commands so far."""
    return [AgentHealth(*row) for row in connection.execute(_HEALTH, (list(agent_ids),))]
