"""What an orchestrator does to keep `agents.registry` true: heartbeats, silence, scores and the roster."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Lock

import psycopg

from resources.agents.config import AgentsConfig
from resources.agents.members.health import OFFLINE
from resources.agents.members.registry import AgentState, Registry
from resources.agents.members.registry_rows import load_scores, load_states
from resources.agents.members.roster import RosterFile
from resources.agents.members.score import ScoreBook, ScoreRule
from resources.agents.record.recorder import Recorder
from resources.agents.security.tokens import Received
from resources.core.clock import Clock

_ROUND_EVERY_S = 30.0
"""How often scores that only fade are written, and the roster is looked at."""

_SCORES_EVERY_S = 1.0

_PAUSED_AFTER = timedelta(seconds=10)
"""So long between two looks: this process stood still, or the database was away, or the clock was put right."""


class RegistryKeeper:
    """The registry of a running orchestrator; whatever changes goes to its recorder."""

    def __init__(self, config: AgentsConfig, *, site: str, recorder: Recorder, clock: Clock) -> None:
        """Read the roster; nothing is written yet.

        Raises:
            ConfigError: The roster is missing or wrong.
        """
        self._site = site
        self._clock = clock
        self._recorder = recorder
        self._roster = RosterFile(config.roster) if config.roster is not None else None
        self._scores = ScoreBook(ScoreRule(config.score_half_life, config.score_latency))
        self._registry = Registry(config.orchestrator_id, self._scores)
        self._writing = Lock()
        """What is heard and what is noted must reach the recorder in the order in which the registry took it."""
        self._round_at = clock.monotonic()
        self._scores_at = clock.monotonic()
        self._looked_at = clock.now()

    def restore(self, connection: psycopg.Connection) -> None:
        """Take over what was stored, and have the roster's agents declared."""
        self._scores.restore(load_scores(connection))
        self._registry.restore(load_states(connection))
        self._registry.listens_since(self._clock.now())
        if self._roster is not None:
            self._recorder.declared(self._roster.roster, self._site)

    def get(self, agent_id: str) -> AgentState | None:
        """Return what is known of an agent that was heard of."""
        return self._registry.get(agent_id)

    def heard(self, received: Received, after: Callable[[], None]) -> tuple[str, bool]:
        """Take a heartbeat; return its agent's id and whether the agent came back. `after` is called once it is stored.

        Raises:
            RefusedError: As `Registry.take`.
        """
        with self._writing:
            state, returned = self._registry.take(received, self._clock.now())
            self._recorder.heard(state, after)
        return state.agent_id, returned

    def answered(self, agent_id: str, latency_ms: float, *, well: bool) -> None:
        """Take an answer as evidence on its agent; `well` says that it did what it was told."""
        self._scores.add(agent_id, latency_ms if well else None, self._clock.now())

    def missed(self, agent_id: str) -> None:
        """Take an answer that did not come as evidence; of an agent that is not there its status says enough."""
        state = self._registry.get(agent_id)
        if state is not None and state.status != OFFLINE:
            self._scores.add(agent_id, None, self._clock.now())

    def look_around(self, *, connected: bool) -> None:
        """Note what time has changed; cheap enough to be called several times a second.

        Silence is counted from when the broker was `connected` and this was called at least every 10 s: agents that
        nobody listened to have not gone away.
        """
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if not connected or not timedelta(0) <= now - self._looked_at <= _PAUSED_AFTER:
            self._registry.listens_since(now)
        self._looked_at = now
        changed = self._registry.changed(now)
        if changed:
            with self._writing:
                for state in self._registry.settle(changed):
                    self._recorder.heard(state)
        is_round = monotonic - self._round_at >= _ROUND_EVERY_S
        if is_round or monotonic - self._scores_at >= _SCORES_EVERY_S:
            self._scores_at = monotonic
            self._recorder.scored(self._scores.take_changed(now, faded=is_round))
        if is_round:
            self._round_at = monotonic
            self._read_roster_again()

    def write_scores(self) -> None:
        """Hand over the scores that have new evidence: before the recorder closes."""
        self._recorder.scored(self._scores.take_changed(self._clock.now()))

    def _read_roster_again(self) -> None:
        roster = self._roster.take_changed() if self._roster is not None else None
        if roster is not None:
            self._recorder.declared(roster, self._site)
