"""Who is there: what the agents' signed heartbeats say, by session, and what silence and scores make of it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from pydantic import ValidationError

from resources.agents.members.health import LATE_AFTER, MISSED_AFTER, OFFLINE, ONLINE, Health, health
from resources.agents.members.score import NEUTRAL, ScoreBook
from resources.agents.security.judge import is_offline
from resources.agents.security.tokens import Received
from resources.agents.wire.message import HeartbeatPayload
from resources.agents.wire.refusals import refused

_REVIEW_EVERY = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class AgentState:
    """What is known of one agent: a row of `agents.registry` and one of `agents.sessions`."""

    agent_id: str
    agent_name: str
    agent_type: str
    capabilities: tuple[str, ...]
    status: str
    """online, degraded or offline: what the platform makes of it (`health.py`)."""
    last_heartbeat: datetime
    session_id: str
    issued_at: datetime
    message_id: str
    commands: tuple[dict[str, Any], ...]
    reported: str = ONLINE
    """What the agent said of itself."""
    reason: str | None = None
    """Why `status` is not online."""


class Registry:
    """The state of every agent, from heartbeats; safe from any thread."""

    def __init__(self, orchestrator_id: str, scores: ScoreBook) -> None:
        """Begin empty; heartbeats must be addressed to `orchestrator_id`, and a poor score makes an agent degraded."""
        self._orchestrator_id = orchestrator_id
        self._scores = scores
        self._lock = Lock()
        self._agents: dict[str, AgentState] = {}
        self._reviewed_at: datetime | None = None
        self._listens_since = datetime.min.replace(tzinfo=UTC)

    def restore(self, states: list[AgentState]) -> None:
        """Take over what was stored."""
        with self._lock:
            self._agents = {state.agent_id: state for state in states}

    def get(self, agent_id: str) -> AgentState | None:
        """Return what is known of an agent."""
        return self._agents.get(agent_id)

    def listens_since(self, since: datetime) -> None:
        """Note that nobody listened before `since`: what was not heard until then says nothing about the agents."""
        self._listens_since = since

    def take(self, received: Received, at: datetime) -> tuple[AgentState, bool]:
        """Return the agent's new state and whether it came back (a session that is new here).

        Raises:
            RefusedError: Malformed, addressed to another, of an older session, or older than the last of its session.
        """
        message = received.message
        if self._orchestrator_id not in message.target_agents:
            raise refused("not_a_target", "the heartbeat is not addressed to the orchestrator", message)
        if message.session_id is None:
            raise refused("malformed", "a heartbeat needs a session_id", message)
        try:
            payload = HeartbeatPayload.model_validate(message.payload)
        except ValidationError as error:
            raise refused("malformed", f"{error.error_count()} fields of the heartbeat are wrong", message) from error
        with self._lock:
            known = self._agents.get(message.source_agent)
            self._refuse_old(received, known)
            if is_offline(message):
                assert known is not None
                # the will was signed when its connection began: it tells the end, and nothing else anew
                state = _with(replace(known, reported=OFFLINE), health(OFFLINE, timedelta(0)))
            else:
                state = AgentState(
                    message.source_agent,
                    payload.agent_name,
                    payload.agent_type,
                    tuple(payload.capabilities),
                    ONLINE,
                    at,
                    message.session_id,
                    received.issued_at,
                    message.message_id,
                    tuple(offer.model_dump(by_alias=True) for offer in payload.commands),
                    payload.status,
                )
                state = _with(state, self._health(state, at))
            self._agents[message.source_agent] = state
        return state, known is None or state.session_id != known.session_id

    def changed(self, now: datetime) -> list[AgentState]:
        """Return what agents have become by silence or by their score; looks every 2 s at most, else returns none.

        Until somebody has listened for 90 s, an agent that was not heard meanwhile stays what it was.
        Nothing is taken over yet: `settle` does that, for those that were not heard meanwhile.
        """
        if self._reviewed_at is not None and timedelta(0) <= now - self._reviewed_at < _REVIEW_EVERY:
            return []
        self._reviewed_at = now
        since, found = self._listens_since, []
        too_early = now - since <= MISSED_AFTER
        # without the lock: heartbeats must not wait until ten thousand agents have been looked at
        for state in list(self._agents.values()):
            if too_early and state.last_heartbeat < since:
                continue
            seen = self._health(state, now)
            if (seen.status, seen.reason) != (state.status, state.reason):
                found.append(_with(state, seen))
        return found

    def settle(self, found: list[AgentState]) -> list[AgentState]:
        """Take over what `changed` returned, and return those it still holds for."""
        with self._lock:
            current = [state for state in found if self._is_current(state)]
            self._agents.update({state.agent_id: state for state in current})
        return current

    def _is_current(self, state: AgentState) -> bool:
        known = self._agents.get(state.agent_id)
        return known is not None and (known.message_id, known.reported) == (state.message_id, state.reported)

    def _health(self, state: AgentState, now: datetime) -> Health:
        silent_for = now - state.last_heartbeat
        score = self._scores.get(state.agent_id, now)
        if score is not None:
            return health(state.reported, silent_for, score=score.value, evidence=score.weight)
        if state.reported == ONLINE and silent_for <= LATE_AFTER:
            return _WELL
        return health(state.reported, silent_for, score=NEUTRAL, evidence=0.0)

    def _refuse_old(self, received: Received, known: AgentState | None) -> None:
        message = received.message
        session = message.session_id or ""
        if is_offline(message):
            if known is None or session != known.session_id:
                raise refused("old_session", "a last will counts only for the agent's current session", message)
            return
        if known is None or session > known.session_id:
            return
        if session < known.session_id:
            raise refused("old_session", "the heartbeat is of an earlier session", message)
        if received.issued_at < known.issued_at or message.message_id == known.message_id:
            raise refused("old_heartbeat", "a later heartbeat of this session is known", message)


_WELL = Health(ONLINE)


def _with(state: AgentState, seen: Health) -> AgentState:
    return replace(state, status=seen.status, reason=seen.reason)
