"""How many signed messages flow in a second, and whether a thousand agents can be addressed at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg

from benchmarks.agents.fanout import percentile
from benchmarks.agents.plant import Fleet
from resources.core.errors import PlatformError
from resources.databases.timescale.connection import connect

_MOST_OPEN = 4
"""Broadcasts under way at once: enough that nobody waits for work, few enough that none waits long."""

_LOOK_S = 0.005
_COMPLETE_S = 300.0


def measure_throughput(fleet: Fleet, broadcasts: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return messages per second while broadcasts overlap.

    A message is a command as one agent gets it, or an answer: each is verified by its receiver and durable at both
    ends. Commands to many share a signature, answers have one each.
    """
    count = len(fleet.targets)
    progress(f"{broadcasts} overlapping commands to {count} agents")
    with connect(fleet.database_url, autocommit=True) as rows:
        _flow(fleet, rows, _MOST_OPEN)
        begun = time.perf_counter()
        _flow(fleet, rows, broadcasts)
        spent = time.perf_counter() - begun
        failed = _failed(rows)
    if failed:
        raise PlatformError(f"{failed} deliveries were not answered: the figure would mean nothing")
    return {
        "messages_per_s": round(2 * count * broadcasts / spent),
        "round_trips_per_s": round(count * broadcasts / spent),
    }


def measure_thousand(fleet: Fleet, progress: Callable[[str], None], *, times: int = 5) -> dict[str, Any]:
    """Return how many of the agents answered one broadcast in every one of `times`, and how long it took."""
    progress(f"{times} commands to {len(fleet.targets)} agents")
    answered, spent = [], []
    for _ in range(times):
        begun = time.perf_counter()
        outcome = fleet.broadcaster.broadcast(fleet.command(timeout_s=120.0))
        spent.append((time.perf_counter() - begun) * 1000)
        answered.append(outcome.answered)
    return {
        "thousand_agents": len(fleet.targets),
        "thousand_complete": round(min(answered) / len(fleet.targets), 4),
        "thousand_p50_ms": percentile(spent, 50),
        "thousand_most_ms": percentile(spent, 100),
    }


def _flow(fleet: Fleet, rows: psycopg.Connection, broadcasts: int) -> None:
    for _ in range(broadcasts):
        _until_open(rows, _MOST_OPEN - 1)
        fleet.broadcaster.accept(fleet.command())
    _until_open(rows, 0)


def _until_open(rows: psycopg.Connection, most: int) -> None:
    ends = time.monotonic() + _COMPLETE_S
    while _count(rows, "SELECT count(*) FROM agents.messages WHERE status = 'accepted'") > most:
        if time.monotonic() > ends:
            raise PlatformError(f"broadcasts were not answered within {_COMPLETE_S:g} s")
        time.sleep(_LOOK_S)


def _failed(rows: psycopg.Connection) -> int:
    return _count(rows, "SELECT count(*) FROM agents.deliveries WHERE state <> 'answered'")


def _count(rows: psycopg.Connection, query: str) -> int:
    row = rows.execute(query).fetchone()
    assert row is not None
    return int(row[0])
