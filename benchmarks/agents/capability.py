"""The search by capability among ten thousand agents, while their heartbeats rewrite the registry."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg

from resources.agents.members.directory import CapabilityQuery, Directory
from resources.databases.timescale.connection import connect

AGENTS = 10_000
CAPABILITIES = 40
_HEARTBEAT_S = 30.0
_TURN_S = 0.1
_PROBES = 10

_FILL = """
INSERT INTO agents.registry (agent_id, agent_name, agent_type, capabilities, status, last_heartbeat, performance_score)
SELECT 'GL-' || n, 'agent ' || n, 'boiler', ARRAY(SELECT 'c' || (n * k * 7919 %% %(capabilities)s) FROM
       generate_series(1, 6) AS k GROUP BY 1), 'online', now(), (n * 31 %% 1000) / 1000.0
FROM generate_series(1, %(agents)s) AS n
"""
_BEAT = """
UPDATE agents.registry SET last_heartbeat = now(), performance_score = random()
WHERE agent_id = ANY(%s)
"""
_GAIN = "UPDATE agents.registry SET capabilities = capabilities || %s::text WHERE agent_id = 'GL-1'"


def measure(database_url: str, searches: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return how long a search takes through the public interface, and how old its answer was at most."""
    progress(f"{searches} searches among {AGENTS:,} agents that beat every {_HEARTBEAT_S:g} s")
    with connect(database_url, autocommit=True) as rows:
        rows.execute("TRUNCATE agents.registry CASCADE")
        rows.execute(_FILL, {"agents": AGENTS, "capabilities": CAPABILITIES})
        rows.execute("ANALYZE agents.registry")
        with Directory(database_url) as directory, _heartbeats(database_url):
            spent, found = _search(directory, searches)
            stale = [_staleness(directory, rows, f"learnt-{probe}") for probe in range(_PROBES)]
    return {
        "registry_agents": AGENTS,
        "searches": searches,
        "found_mean": round(found / searches),
        "capability_query_p50_ms": round(float(np.percentile(spent, 50)), 3),
        "capability_query_ms": round(float(np.percentile(spent, 99)), 3),
        "capability_stale_s": round(max(stale), 3),
    }


def _search(directory: Directory, searches: int) -> tuple[list[float], int]:
    draw = random.Random(1)
    names = [f"c{number}" for number in range(CAPABILITIES)]
    spent, found = [], 0
    for _ in range(searches):
        query = CapabilityQuery(
            all=draw.sample(names, draw.randint(1, 2)),
            any=draw.sample(names, draw.choice((0, 2))),
            none=draw.sample(names, draw.randint(0, 2)),
        )
        begun = time.perf_counter()
        found += len(directory.find(query))
        spent.append((time.perf_counter() - begun) * 1000)
        # as a service is asked, not in one burst: so that refreshes fall into the measured time
        time.sleep(0.001)
    return spent, found


def _staleness(directory: Directory, rows: psycopg.Connection, capability: str) -> float:
    """Return for how long after its commit a new capability was not found."""
    query = CapabilityQuery(all=(capability,))
    rows.execute(_GAIN, (capability,))
    begun = time.perf_counter()
    while not directory.find(query):
        time.sleep(0.002)
    return time.perf_counter() - begun


@contextmanager
def _heartbeats(database_url: str) -> Iterator[None]:
    """Have every agent's row rewritten once in _HEARTBEAT_S, a few in each turn, as the recorder does it."""
    ending = threading.Event()
    share = max(1, round(AGENTS * _TURN_S / _HEARTBEAT_S))

    def beat() -> None:
        first = 0
        with connect(database_url, autocommit=True) as rows:
            while not ending.wait(_TURN_S):
                rows.execute(_BEAT, ([f"GL-{1 + (first + n) % AGENTS}" for n in range(share)],))
                first += share

    thread = threading.Thread(target=beat, name="heartbeats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
