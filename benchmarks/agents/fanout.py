"""One command to all agents at once, over the bare round trip; and one command to a single agent.

The signed side counts everything: the command's commit, signing, verification, the agents' durable stores, the commit
of the last answer, reading the answers back and putting them together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.agents.bare import BareRounds, bare_rounds
from benchmarks.agents.plant import Fleet, Servers
from resources.agents.aggregation.aggregate import aggregate
from resources.agents.aggregation.model import Aggregation
from resources.core.errors import PlatformError

_BLOCK = 20
"""Broadcasts in a row before the other side has its turn: a machine that slows down slows both."""

_WARM_UP = 5
_SETTLE_S = 0.5
"""Between blocks: what one side still has to write must not be in the other's way."""

_AGGREGATION = Aggregation("average", path="/efficiency_after")


def measure_fanout(place: Servers, fleet: Fleet, broadcasts: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return latencies of `broadcasts` commands to the whole fleet, and their ratio to the bare round trip."""
    count = len(fleet.targets)
    progress(f"{broadcasts} signed and stored commands to {count} agents, {broadcasts} bare round trips between them")
    with bare_rounds(place.port, count) as rounds:
        _bare(rounds, _WARM_UP)
        _signed(fleet, fleet.targets, _WARM_UP)
        bare: list[float] = []
        signed: list[float] = []
        while len(signed) < broadcasts:
            block = min(_BLOCK, broadcasts - len(signed))
            bare += _bare(rounds, block)
            signed += _signed(fleet, fleet.targets, block)
    return {
        "agents": count,
        "broadcasts": broadcasts,
        "bare_p50_ms": percentile(bare, 50),
        "bare_p99_ms": percentile(bare, 99),
        "fanout_p50_ms": percentile(signed, 50),
        "fanout_p99_ms": percentile(signed, 99),
        "fanout_vs_bare": round(percentile(signed, 99) / percentile(bare, 99), 2),
        "fanout_vs_bare_p50": round(percentile(signed, 50) / percentile(bare, 50), 2),
    }


def measure_message(fleet: Fleet, messages: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return latencies of commands to one agent, each sent when the one before is stored."""
    progress(f"{messages} signed and stored commands to one agent")
    target = fleet.targets[:1]
    _signed(fleet, target, _WARM_UP)
    found = _signed(fleet, target, messages)
    return {
        "messages": messages,
        "message_p50_ms": percentile(found, 50),
        "message_p99_ms": percentile(found, 99),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile to a tenth."""
    return round(float(np.percentile(values, percent)), 1)


def _bare(rounds: BareRounds, times: int) -> list[float]:
    time.sleep(_SETTLE_S)
    return [rounds.ask() for _ in range(times)]


def _signed(fleet: Fleet, targets: Sequence[str], times: int) -> list[float]:
    time.sleep(_SETTLE_S)
    return [_broadcast(fleet, targets) for _ in range(times)]


def _broadcast(fleet: Fleet, targets: Sequence[str]) -> float:
    begun = time.perf_counter()
    outcome = fleet.broadcaster.broadcast(fleet.command(targets))
    mean = aggregate(outcome.results, _AGGREGATION, deadline=outcome.message.deadline)
    spent = (time.perf_counter() - begun) * 1000
    if outcome.answered != len(targets) or not mean.succeeded:
        raise PlatformError(f"only {outcome.answered} of {len(targets)} agents answered: the figure would mean nothing")
    return spent
