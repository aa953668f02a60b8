"""A circuit breaker for each agent, kept in the database: who was silent several times in a row is left alone.

::

    CLOSED ── `failures` in a row ──► OPEN ── recovery over, or the agent came back ──► HALF_OPEN ── answer ──► CLOSED
                                        ▲                                                   │
                                        └────────────────────── silence ────────────────────┘

A failure is a command that the broker had taken over and that expired, or one that the agent's crash left in doubt. An
answer `error` is none: the agent is there. Half open, one command at a time decides; every other one leaves the agent
out. The orchestrator's recorder writes the circuits in the transaction that writes the deliveries they are about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
import uuid_utils

from resources.agents.coordination_config import CircuitRules
from resources.transport.turns.circuit_breaker import Circuit

_SELECT = """
SELECT c.agent_id, c.failures, c.failed_at, c.probed_at, s.session_id
FROM agents.circuits c LEFT JOIN agents.sessions s USING (agent_id) WHERE c.agent_id = ANY(%s)
"""

# who is locked is being judged this moment: not waited for, so that claims and judgements never wait for each other
_CLAIM = """
UPDATE agents.circuits SET probed_at = %(now)s
WHERE agent_id IN (
    SELECT agent_id FROM agents.circuits
    WHERE agent_id = ANY(%(agents)s) AND (probed_at IS NULL OR probed_at <= %(now)s - %(recovery)s)
    FOR UPDATE SKIP LOCKED
)
RETURNING agent_id
"""

_FAILED = """
INSERT INTO agents.circuits AS c (agent_id, failures, failed_at)
SELECT d.agent_id, count(*), %(now)s
FROM unnest(%(messages)s::text[], %(agents)s::text[]) AS f (message_id, agent_id)
JOIN agents.deliveries d USING (message_id, agent_id)
WHERE d.attempts > 0 AND d.state IN ('expired', 'in_doubt') GROUP BY 1
ON CONFLICT (agent_id) DO UPDATE
SET failures = c.failures + excluded.failures, failed_at = excluded.failed_at, probed_at = NULL
"""

_ANSWERED = "DELETE FROM agents.circuits WHERE agent_id = ANY(%s)"


@dataclass(frozen=True, slots=True)
class AgentCircuit:
    """What is known of one agent's silence."""

    agent_id: str
    failures: int
    """In a row."""
    failed_at: datetime
    probed_at: datetime | None
    """When a command last began to try it; None: none has since the last failure."""
    session_id: str | None = None
    """The agent's session, a UUIDv7: it tells when the agent connected."""

    def state(self, rules: CircuitRules, now: datetime) -> Circuit:
        """Return the state at `now`."""
        if self.failures < rules.failures:
            return Circuit.CLOSED
        recovered = now >= self.failed_at + rules.recovery or self._came_back()
        return Circuit.HALF_OPEN if recovered else Circuit.OPEN

    def skip_reason(self, rules: CircuitRules, now: datetime) -> str | None:
        """Return why the agent is to be left out at `now`; None if it is not."""
        state = self.state(rules, now)
        silent = f"its circuit is {state.value}: {self.failures} commands in a row unanswered"
        if state is Circuit.OPEN:
            recovery_s = rules.recovery.total_seconds()
            return f"{silent}, the last at {self.failed_at:%H:%M:%S}Z; it is tried again {recovery_s:g} s later"
        if state is Circuit.HALF_OPEN and self.probed_at is not None and now < self.probed_at + rules.recovery:
            return f"{silent}; another command is trying it"
        return None

    def _came_back(self) -> bool:
        if self.session_id is None:
            return False
        # as numbers: the agent chose the id, and its 48 bits of milliseconds reach beyond the year 9999
        return bool(uuid_utils.UUID(self.session_id).timestamp > self.failed_at.timestamp() * 1000)


def load_circuits(connection: psycopg.Connection, agent_ids: Sequence[str]) -> dict[str, AgentCircuit]:
    """Return the circuits of those among `agent_ids` that were silent when they were last asked."""
    rows = connection.execute(_SELECT, (list(agent_ids),))
    return {circuit.agent_id: circuit for circuit in (AgentCircuit(*row) for row in rows)}


def claim_probes(
    connection: psycopg.Connection, agent_ids: Collection[str], rules: CircuitRules, now: datetime
) -> set[str]:
    """Return those half-open agents that the caller's command may try; the others are another command's."""
    if not agent_ids:
        return set()
    given = {"agents": sorted(agent_ids), "now": now, "recovery": rules.recovery}
    return {agent_id for (agent_id,) in connection.execute(_CLAIM, given)}


def note_answers(connection: psycopg.Connection, agent_ids: Iterable[str]) -> None:
    """Close the circuits of agents that have answered."""
    found = list(agent_ids)
    if found:
        connection.execute(_ANSWERED, (found,))


def note_failures(connection: psycopg.Connection, failures: Sequence[tuple[str, str]], now: datetime) -> None:
    """Count failures, (message_id, agent_id) each, whose deliveries are written in the same transaction already."""
    if failures:
        messages, agents = (list(column) for column in zip(*failures, strict=True))
        connection.execute(_FAILED, {"messages": messages, "agents": agents, "now": now})
