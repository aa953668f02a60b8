"""Who is there and how they answer, for people and jobs: the registry and the last commands as of now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from resources.agents.members.health import Health, as_of_now

_AGENTS = """
SELECT agent_id, agent_name, agent_type, capabilities, status, last_heartbeat, performance_score, declared,
       status_reason, now() - last_heartbeat
FROM agents.registry ORDER BY agent_id
"""

_HEALTH = """
SELECT a.agent_id, count(d.message_id), count(*) FILTER (WHERE d.state = 'answered'),
       count(*) FILTER (WHERE d.state IN ('failed', 'in_doubt')), count(*) FILTER (WHERE d.state = 'expired'),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY r.latency_ms),
       percentile_cont(0.99) WITHIN GROUP (ORDER BY r.latency_ms)
FROM unnest(%(agents)s::text[]) AS a (agent_id)
LEFT JOIN (
    SELECT d.* FROM agents.messages m JOIN agents.deliveries d USING (message_id)
    WHERE m.sent_at >= now() - %(span)s
) d USING (agent_id)
LEFT JOIN agents.responses r ON r.correlation_id = d.message_id AND r.agent_id = d.agent_id
GROUP BY 1 ORDER BY 1
"""

_RECENT = """
SELECT m.message_id, m.payload->>'name', m.sent_at, m.status, d.targeted, d.answered, d.open, r.slowest_ms
FROM (
    SELECT * FROM agents.messages WHERE message_type IN ('command', 'query') ORDER BY sent_at DESC LIMIT %s
) m
CROSS JOIN LATERAL (
    SELECT count(*) AS targeted, count(*) FILTER (WHERE state = 'answered') AS answered,
           count(*) FILTER (WHERE state IN ('queued', 'sent')) AS open
    FROM agents.deliveries WHERE message_id = m.message_id
) d
CROSS JOIN LATERAL (
    SELECT max(latency_ms) AS slowest_ms FROM agents.responses WHERE correlation_id = m.message_id
) r
ORDER BY m.sent_at DESC
"""


@dataclass(frozen=True, slots=True)
class ListedAgent:
    """A row of `agents.registry`, with the status as of now, or as noted."""

    agent_id: str
    agent_name: str
    agent_type: str
    capabilities: list[str]
    status: str
    """online, degraded or offline."""
    last_heartbeat: datetime | None
    """When it was last heard, UTC; None: never."""
    performance_score: float | None
    """0 to 1; None until measured."""
    declared: bool
    """Whether the site's agents.yaml names it."""
    status_reason: str | None
    """Why it is not online."""


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """How an agent has answered lately; latencies in milliseconds, None if it has not."""

    agent_id: str
    commands: int
    answered: int
    failed: int
    """Answered with an error, or in doubt."""
    missed: int
    """Not answered before the deadline."""
    latency_p50_ms: float | None
    latency_p99_ms: float | None


@dataclass(frozen=True, slots=True)
class RecentCommand:
    """What has become of one command or query so far."""

    message_id: str
    name: str
    sent_at: datetime
    status: str
    targeted: int
    answered: int
    open: int
    slowest_ms: float | None


def list_agents(connection: psycopg.Connection, *, as_noted: bool = False) -> list[ListedAgent]:
    """Return every agent that is declared or was ever heard of, by id.

    Silence is judged now, by the database's clock: an agent is offline also where no orchestrator runs to note it.
    With `as_noted` the status is what an orchestrator has noted, who alone can tell silence from not having listened.
    """
    found = []
    for agent_id, name, kind, can, stored, heard, score, declared, reason, silent_for in connection.execute(_AGENTS):
        noted = Health(stored, reason)
        seen = noted if as_noted else as_of_now(noted, silent_for)
        found.append(ListedAgent(agent_id, name, kind, can, seen.status, heard, score, declared, seen.reason))
    return found


def agent_health(
    connection: psycopg.Connection, agent_ids: Sequence[str], *, span: timedelta = timedelta(hours=24)
) -> list[AgentHealth]:
    """Return how each of `agent_ids` has answered the commands sent in the last `span`, by id."""
    return [AgentHealth(*row) for row in connection.execute(_HEALTH, {"agents": list(agent_ids), "span": span})]


def recent_commands(connection: psycopg.Connection, most: int = 5) -> list[RecentCommand]:
    """Return the last commands and queries, the latest first."""
    return [RecentCommand(*row) for row in connection.execute(_RECENT, (most,))]
