"""All, average, first and best: what is taken from answers that need not agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resources.agents.aggregation.ballots import Ballot
from resources.agents.aggregation.finding import Finding
from resources.agents.aggregation.model import Aggregation
from resources.agents.aggregation.numbers import number, weighted_mean

_MOST_RANKED = 10
"""Agents that the ranking in details names, at most."""


def all_answers(ballots: Sequence[Ballot], aggregation: Aggregation) -> Finding:
    """Return every answer by agent id."""
    del aggregation
    return Finding({ballot.agent_id: ballot.value for ballot in ballots}, _ids(ballots), {"answers": len(ballots)})


def average(ballots: Sequence[Ballot], aggregation: Aggregation) -> Finding:
    """Return the mean, each number by the weight of its agent; details tell its spread (population)."""
    del aggregation
    values = [value for ballot in ballots if (value := number(ballot.value)) is not None]
    weights = [ballot.weight for ballot in ballots]
    mean = weighted_mean(values, weights)
    details = {
        "answers": len(values),
        "least": min(values),
        "greatest": max(values),
        "standard_deviation": _deviation(values, weights, mean),
    }
    return Finding(mean, _ids(ballots), details)


def first(ballots: Sequence[Ballot], aggregation: Aggregation) -> Finding:
    """Return the answer that came first; of two at the same instant, the one of the lower agent id."""
    del aggregation
    chosen = min(ballots, key=lambda ballot: ballot.when)
    details = {"agent_id": chosen.agent_id, "latency_ms": chosen.result.latency_ms, "answers": len(ballots)}
    return Finding(chosen.value, frozenset({chosen.agent_id}), details, others="not_chosen")


def best(ballots: Sequence[Ballot], aggregation: Aggregation) -> Finding:
    """Return the answer of the best quality; of several, the one that came first."""
    prefer = aggregation.prefer or ("lowest" if aggregation.rank_by == "latency" else "highest")
    sign = 1.0 if prefer == "lowest" else -1.0
    ranked = sorted((sign * ballot.quality, ballot.when, ballot) for ballot in ballots if ballot.quality is not None)
    chosen = ranked[0][2]
    details = {
        "agent_id": chosen.agent_id,
        "quality": chosen.quality,
        "ranking": [{"agent_id": b.agent_id, "quality": b.quality} for _, _, b in ranked[:_MOST_RANKED]],
    }
    return Finding(chosen.value, frozenset({chosen.agent_id}), details, others="not_chosen")


def _deviation(values: list[float], weights: list[float], mean: float) -> float | None:
    """Return the standard deviation; None if it is beyond a double's range."""
    try:
        square = weighted_mean([(value - mean) ** 2 for value in values], weights)
    except OverflowError:
        return None
    return math.sqrt(square) if math.isfinite(square) else None


def _ids(ballots: Sequence[Ballot]) -> frozenset[str]:
    return frozenset(ballot.agent_id for ballot in ballots)
