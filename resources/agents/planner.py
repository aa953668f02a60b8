"""Who gets a command, and how it is let go: a request, the registry and the circuits make a plan."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from resources.agents.coordination_config import CircuitRules
from resources.agents.members.directory import AgentEntry, CapabilityQuery, Directory
from resources.agents.members.score import NEUTRAL
from resources.agents.record.circuits import claim_probes, load_circuits
from resources.agents.record.release import Release
from resources.agents.requests import Request, Skipped
from resources.agents.strategies.base import Candidate, Choice, Strategy
from resources.core.errors import DataError
from resources.transport.turns.circuit_breaker import Circuit

_OPEN_COMMANDS = """
SELECT d.agent_id, count(*) FROM agents.deliveries d JOIN agents.messages m USING (message_id)
WHERE d.agent_id = ANY(%s) AND d.state IN ('queued', 'sent') AND m.status = 'accepted' AND m.deadline > %s GROUP BY 1
"""

# one statement that also waits for whoever has the turn now
_LAST_TURN = """
INSERT INTO agents.turns (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET agent_id = turns.agent_id
RETURNING agent_id
"""

_REASONS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """Who gets a command, who does not, and how it is let go."""

    targets: tuple[str, ...]
    """In the order in which it is sent."""
    skipped: tuple[Skipped, ...]
    release: Release


@dataclass(slots=True)
class _Pool:
    """The candidates that are left, and why the others are not."""

    left: list[str]
    entries: dict[str, AgentEntry] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    def drop(self, reasons: dict[str, str]) -> None:
        """Skip agents, each for its reason."""
        self.skipped += [Skipped(agent_id, reasons[agent_id]) for agent_id in self.left if agent_id in reasons]
        self.left = [agent_id for agent_id in self.left if agent_id not in reasons]


class Planner:
    """Makes the plans of one site."""

    def __init__(self, everyone: tuple[str, ...], rules: CircuitRules, directory: Callable[[], Directory]) -> None:
        """Prepare.

        Args:
            everyone: Candidates of a command that names none.
            rules: When an agent is left alone.
            directory: Opens the directory of agents when a request is the first to need it.
        """
        self._everyone, self._rules, self._directory = everyone, rules, directory

    def plan(self, connection: psycopg.Connection, request: Request, *, now: datetime, binding: bool) -> Plan:
        """Return the plan of a request, within the caller's transaction.

        Args:
            connection: Of the database.
            request: What is asked.
            now: The wall time.
            binding: The command is sent: a turn moves on, and an agent on trial is this command's. False: a dry run.

        Raises:
            DataError: Nobody is left to send it to, the quorum is larger than that, or the request contradicts itself.
            UnreachableError: The directory of agents is too old, and the database does not answer.
        """
        pool = self._pool(request)
        on_trial = self._drop_open_circuits(connection, request, pool, now)
        choice = self._choose(connection, request.strategy, pool, now, binding=binding)
        targets = choice.targets
        tried = on_trial.intersection(targets)
        if binding:
            missed = tried - claim_probes(connection, tried, self._rules, now)
            pool.skipped += [
                Skipped(agent, "its circuit is half open; another command is trying it") for agent in missed
            ]
            targets = tuple(agent_id for agent_id in targets if agent_id not in missed)
            _refuse_nobody(request, targets, pool)
            self._end_turn(connection, request.strategy, choice)
        skipped = tuple(sorted(pool.skipped, key=lambda item: item.agent_id))
        return Plan(targets, skipped, release_of(request, len(targets)))

    def _pool(self, request: Request) -> _Pool:
        strategy, wanted = request.strategy, request.capabilities
        if strategy.by_capability and wanted is None:
            raise DataError(f"strategy {strategy.name}: say which capabilities are wanted, or take another strategy")
        named = list(dict.fromkeys(request.command.targets))
        if wanted is None and not strategy.only_online and not strategy.weighs:
            return _Pool(named or list(self._everyone))
        directory = self._directory()
        found = directory.find(wanted or CapabilityQuery(), only_online=strategy.only_online)
        entries = {entry.agent_id: entry for entry in found}
        # without names a capability is looked for among all agents there are
        pool = _Pool(named or (list(entries) if wanted is not None else list(self._everyone)), entries)
        absent = [agent_id for agent_id in pool.left if agent_id not in entries]
        pool.drop({agent_id: _why_absent(directory.get(agent_id), strategy) for agent_id in absent})
        return pool

    def _drop_open_circuits(
        self, connection: psycopg.Connection, request: Request, pool: _Pool, now: datetime
    ) -> set[str]:
        """Skip whoever is to be left alone; return the agents whose next command is a trial."""
        if not request.skip_open_circuits:
            return set()
        circuits = load_circuits(connection, pool.left).values()
        reasons = {circuit.agent_id: circuit.skip_reason(self._rules, now) for circuit in circuits}
        pool.drop({agent_id: reason for agent_id, reason in reasons.items() if reason is not None})
        return {circuit.agent_id for circuit in circuits if circuit.state(self._rules, now) is Circuit.HALF_OPEN}

    def _choose(
        self, connection: psycopg.Connection, strategy: Strategy, pool: _Pool, now: datetime, *, binding: bool
    ) -> Choice:
        if not pool.left:
            return Choice(())
        busy: dict[str, int] = {}
        if strategy.weighs:
            busy = dict(connection.execute(_OPEN_COMMANDS, (pool.left, now)).fetchall())
        candidates = []
        for agent_id in pool.left:
            entry = pool.entries.get(agent_id)
            score = NEUTRAL if entry is None else entry.score
            candidates.append(Candidate(agent_id, score, busy.get(agent_id, 0)))
        return strategy.choose(candidates, _last_turn(connection, strategy.turn, binding=binding))

    def _end_turn(self, connection: psycopg.Connection, strategy: Strategy, choice: Choice) -> None:
        if strategy.turn is not None:
            connection.execute(
                "UPDATE agents.turns SET agent_id = %s WHERE name = %s", (choice.turn_ends_with, strategy.turn)
            )


def release_of(request: Request, addressed: int) -> Release:
    """Return how a request's message is let go to so many agents.

    Raises:
        DataError: The quorum is larger than that, or there are two.
    """
    strategy, retry = request.strategy, request.retry
    if not addressed:
        return Release()
    if request.quorum is not None and strategy.needed is not None:
        raise DataError(f"strategy {strategy.name}: it ends at the first good answer; leave that out, or the quorum")
    needed = strategy.needed if request.quorum is None else request.quorum.of(addressed)
    at_a_time = min(strategy.concurrency or addressed, addressed)
    rounds = math.ceil(addressed / at_a_time)
    bounded = rounds > 1
    # everyone's turn comes before the deadline, even if all are silent
    patience_s = retry.after_s or request.command.timeout_s / (rounds * (retry.times + 1))
    return Release(
        concurrency=at_a_time if bounded else None,
        needed=needed,
        # where nobody waits behind a silent agent and it is not to be asked again, there is nothing to look after
        patience_s=patience_s if bounded or retry.times else None,
        retries=retry.times,
    )


def _last_turn(connection: psycopg.Connection, name: str | None, *, binding: bool) -> str | None:
    if name is None:
        return None
    statement = _LAST_TURN if binding else "SELECT agent_id FROM agents.turns WHERE name = %s"
    row = connection.execute(statement, (name,)).fetchone()
    return None if row is None else row[0]


def _why_absent(entry: AgentEntry | None, strategy: Strategy) -> str:
    if entry is None:
        return "it was never heard of"
    if strategy.only_online and entry.status == "offline":
        return "it is offline"
    return "it does not declare the capabilities that are wanted"


def _refuse_nobody(request: Request, targets: tuple[str, ...], pool: _Pool) -> None:
    if targets:
        return
    command = f"{request.command.kind} {request.command.name}"
    shown = "; ".join(f"{item.agent_id}: {item.reason}" for item in pool.skipped[:_REASONS_SHOWN])
    more = len(pool.skipped) - _REASONS_SHOWN
    why = f" ({shown}{f'; and {more} more' if more > 0 else ''})" if shown else ""
    raise DataError(
        f"{command}: strategy {request.strategy.name} found no agent to send it to{why}; `gl agents list` shows who is "
        "there"
    )
