"""Targets of agents, by the parts of `gl bench agents`; aggregation, health and registry, which that leaves out.

A real broker and a real database; 99 agents in a process of their own; every message signed, verified and stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np

from benchmarks.agents import capability as agents_capability
from benchmarks.agents.fanout import measure_fanout, measure_message
from benchmarks.agents.load import measure_throughput
from benchmarks.agents.plant import Fleet, fleet, servers
from resources.agents.aggregation.aggregate import aggregate
from resources.agents.aggregation.model import METHODS, Aggregation, Method
from resources.agents.members.agent_list import agent_health, list_agents
from resources.agents.members.registry_rows import load_states, write_states
from resources.agents.requests import Result
from resources.core.errors import PlatformError
from resources.databases.timescale.connection import connect

Progress = Callable[[str], None]

AGENTS = 99
BROADCASTS = 60
MESSAGES = 300
SEARCHES = 2_000
REPEATS = 20


def measure(progress: Progress) -> dict[str, float]:
    """Return the figures of this part."""
    with servers(progress) as place:
        with fleet(place, AGENTS, progress) as agents:
            message = measure_message(agents, MESSAGES, progress)
            fanout = measure_fanout(place, agents, BROADCASTS, progress)
            figures = _aggregated(agents, progress) | _health(agents, progress) | _registry(agents, progress)
            load = measure_throughput(agents, BROADCASTS, progress)
        search = agents_capability.measure(place.database_url, SEARCHES, progress)
    return figures | {
        "agent_message_p50_ms": message["message_p50_ms"],
        "agent_message_p99_ms": message["message_p99_ms"],
        "agents_99_s": round(fanout["fanout_p99_ms"] / 1_000, 3),
        "capability_query_ms": search["capability_query_ms"],
        "messages_per_s": load["messages_per_s"],
    }


def _answers(agents: Fleet) -> list[Result]:
    outcome = agents.broadcaster.broadcast(agents.command())
    if outcome.answered != len(agents.targets):
        raise PlatformError(f"only {outcome.answered} of {len(agents.targets)} agents answered")
    return list(outcome.results)


def _aggregated(agents: Fleet, progress: Progress) -> dict[str, float]:
    """Return the median seconds of putting real answers together, in the way that takes longest."""
    progress(f"{len(METHODS)} aggregations of {len(agents.targets)} answers")
    answers = _answers(agents)
    return {"aggregation_s": round(max(_seconds(answers, method) for method in METHODS), 5)}


def _seconds(answers: list[Result], method: Method) -> float:
    how = Aggregation(method, path="/efficiency_after")
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        aggregate(answers, how)
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken))


def _health(agents: Fleet, progress: Progress) -> dict[str, float]:
    """Return the seconds to the health of all: each is asked and has answered, then the registry is read."""
    progress(f"health of {len(agents.targets)} agents")
    taken = []
    with connect(agents.database_url, autocommit=True) as connection:
        for _ in range(REPEATS):
            begun = time.perf_counter()
            _answers(agents)
            listed = list_agents(connection)
            health = agent_health(connection, [agent.agent_id for agent in listed])
            taken.append(time.perf_counter() - begun)
            if len(health) != len(agents.targets) or any(agent.status != "online" for agent in listed):
                raise PlatformError("not all agents are online: the figure would mean nothing")
    return {"agents_99_health_s": round(float(np.median(taken)), 3)}


def _registry(agents: Fleet, progress: Progress) -> dict[str, float]:
    """Return the milliseconds of one agent's update with its commit, one after the other.

    The orchestrator writes many in one commit instead, up to 0.2 s after they were heard.
    """
    progress("updates of the registry")
    taken = []
    with connect(agents.database_url) as connection:
        states = load_states(connection)
        connection.commit()
        for _ in range(REPEATS // 4):
            for state in states:
                heard = replace(state, last_heartbeat=datetime.now(UTC), message_id=str(uuid4()))
                begun = time.perf_counter()
                write_states(connection, [heard])
                connection.commit()
                taken.append(1_000 * (time.perf_counter() - begun))
    return {"registry_update_ms": round(float(np.percentile(taken, 99)), 2)}
