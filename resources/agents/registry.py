"""Who is there: what the agents' signed heartbeats say, by session, and what of it is to be stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from pydantic import ValidationError

from resources.agents.judge import is_offline
from resources.agents.message import HeartbeatPayload
from resources.agents.refusals import RefusedError
from resources.agents.tokens import Received

MISSED_AFTER = timedelta(seconds=90)
"""Three heartbeats missed: the agent counts as offline."""


@dataclass(frozen=True, slots=True)
class AgentState:
    """What is known of one agent: a row of `agents.registry` and one of `agents.sessions`."""

    agent_id: str
    agent_name: str
    agent_type: str
    capabilities: tuple[str, ...]
    status: str
    last_heartbeat: datetime
    session_id: str
    issued_at: datetime
    message_id: str
    commands: tuple[dict[str, Any], ...]


class Registry:
    """The state of every agent, from heartbeats; safe from any thread."""

    def __init__(self, orchestrator_id: str) -> None:
        """Begin empty; heartbeats must be addressed to `orchestrator_id`."""
        self._orchestrator_id = orchestrator_id
        self._lock = Lock()
        self._agents: dict[str, AgentState] = {}

    def restore(self, states: list[AgentState]) -> None:
        """Take over what was stored."""
        with self._lock:
            self._agents = {state.agent_id: state for state in states}

    def get(self, agent_id: str) -> AgentState | None:
        """Return what is known of an agent."""
        return self._agents.get(agent_id)

    def take(self, received: Received, at: datetime) -> tuple[AgentState, bool]:
        """Return the agent's new state and whether it came back (a session that is new here).

        Raises:
            RefusedError: Malformed, addressed to another, of an older session, or older than the last of its session.
        """
        message = received.message
        if self._orchestrator_id not in message.target_agents:
            raise _refused("not_a_target", "the heartbeat is not addressed to the orchestrator", received)
        if message.session_id is None:
            raise _refused("malformed", "a heartbeat needs a session_id", received)
        try:
            payload = HeartbeatPayload.model_validate(message.payload)
        except ValidationError as error:
            raise _refused("malformed", f"{error.error_count()} fields of the heartbeat are wrong", received) from error
        with self._lock:
            known = self._agents.get(message.source_agent)
            self._refuse_old(received, known)
            state = AgentState(
                message.source_agent,
                payload.agent_name,
                payload.agent_type,
                tuple(payload.capabilities),
                payload.status,
                at,
                message.session_id,
                received.issued_at,
                message.message_id,
                tuple(offer.model_dump(by_alias=True) for offer in payload.commands),
            )
            if is_offline(message):
                assert known is not None
                # the will was signed when its connection began: it tells the end, and nothing else anew
                state = replace(known, status="offline")
            self._agents[message.source_agent] = state
        return state, known is None or state.session_id != known.session_id

    def take_silent(self, now: datetime) -> list[AgentState]:
        """Return the agents that have missed three heartbeats just now, set offline."""
        found = []
        with self._lock:
            for agent_id, state in self._agents.items():
                if state.status != "offline" and now - state.last_heartbeat > MISSED_AFTER:
                    found.append(replace(state, status="offline"))
                    self._agents[agent_id] = found[-1]
        return found

    def _refuse_old(self, received: Received, known: AgentState | None) -> None:
        message = received.message
        session = message.session_id or ""
        if is_offline(message):
            if known is None or session != known.session_id:
                raise _refused("old_session", "a last will counts only for the agent's current session", received)
            return
        if known is None or session > known.session_id:
            return
        if session < known.session_id:
            raise _refused("old_session", "the heartbeat is of an earlier session", received)
        if received.issued_at < known.issued_at or message.message_id == known.message_id:
            raise _refused("old_heartbeat", "a later heartbeat of this session is known", received)


def _refused(reason: str, detail: str, received: Received) -> RefusedError:
    return RefusedError(reason, detail, claimed=received.message.source_agent)
