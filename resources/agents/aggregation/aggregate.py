"""The one function of this package: results in, one aggregate out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from resources.agents.aggregation.ballots import Ballot, cast, policy_for
from resources.agents.aggregation.choices import all_answers, average, best, first
from resources.agents.aggregation.finding import Finding
from resources.agents.aggregation.model import (
    Aggregate,
    Aggregation,
    Method,
    Provenance,
    Standing,
)
from resources.agents.aggregation.votes import consensus, majority
from resources.agents.requests import Result
from resources.core.errors import DataError

_METHODS: Mapping[Method, Callable[[Sequence[Ballot], Aggregation], Finding]] = {
    "all": all_answers,
    "majority": majority,
    "average": average,
    "consensus": consensus,
    "first": first,
    "best": best,
}

_ROUNDING = 1e-9
"""Shares that differ by less are equal: they are sums of doubles."""


def aggregate(results: Sequence[Result], aggregation: Aggregation, *, deadline: datetime | None = None) -> Aggregate:
    """Return what the results come to, and what each agent had to do with it.

    The order of the results makes no difference.

    Args:
        results: At most one per agent; those of agents that did not answer belong to it.
        aggregation: How.
        deadline: Of the command, UTC; without it no answer is late.

    Raises:
        DataError: Two results are of one agent.
    """
    _refuse_repeated(results)
    ballots = cast(results, aggregation, deadline)
    usable = [ballot for ballot in ballots if ballot.standing is None]
    finding = _METHODS[aggregation.method](usable, aggregation) if usable else _nothing(ballots)
    counted = frozenset(b.agent_id for b in ballots if b.standing is None or policy_for(b, aggregation) == "against")
    support = _support(ballots, counted, finding)
    reason = _fatal(ballots, aggregation) or finding.refusal or _too_little(support, aggregation)
    return Aggregate(
        aggregation.method,
        reason is None,
        finding.value if reason is None else None,
        reason,
        support,
        finding.details,
        tuple(_provenance(ballot, finding, counted=ballot.agent_id in counted) for ballot in ballots),
    )


def _refuse_repeated(results: Iterable[Result]) -> None:
    agent_id, times = next(iter(Counter(result.agent_id for result in results).most_common(1)), ("", 0))
    if times > 1:
        raise DataError(f"agent {agent_id} has {times} results to aggregate: give one per agent")


def _nothing(ballots: Sequence[Ballot]) -> Finding:
    reason = "no agent was asked"
    if ballots:
        counts = Counter(str(ballot.standing) for ballot in ballots)
        told = ", ".join(f"{count} {standing.replace('_', ' ')}" for standing, count in sorted(counts.items()))
        reason = f"there is no usable answer: {told}"
    return Finding(None, frozenset(), {}, refusal=reason)


def _fatal(ballots: Iterable[Ballot], aggregation: Aggregation) -> str | None:
    """Return the first answer that the policies do not bear, in words."""
    for ballot in ballots:
        if policy_for(ballot, aggregation) == "fail":
            return f"{ballot.agent_id} is {ballot.standing}, and not one may be: {ballot.reason}"
    return None


def _support(ballots: Sequence[Ballot], counted: frozenset[str], finding: Finding) -> float:
    whole = math.fsum(ballot.weight for ballot in ballots if ballot.agent_id in counted)
    if not whole:
        return 0.0
    # where one answer is chosen among many, whoever could have been chosen supports the choice
    behind = (b for b in ballots if b.agent_id in finding.supporters or _was_eligible(b, finding))
    return min(1.0, math.fsum(ballot.weight for ballot in behind) / whole)


def _was_eligible(ballot: Ballot, finding: Finding) -> bool:
    return ballot.standing is None and finding.others == "not_chosen"


def _too_little(support: float, aggregation: Aggregation) -> str | None:
    least = aggregation.least_share
    if support < least - _ROUNDING:
        return f"{support:.1%} of the agents that count support it, {least:.1%} are needed"
    if aggregation.method == "majority" and support <= 0.5 + _ROUNDING:
        return f"no answer has a majority: the one with the most has {support:.1%}"
    return None


def _provenance(ballot: Ballot, finding: Finding, *, counted: bool) -> Provenance:
    result = ballot.result
    return Provenance(
        ballot.agent_id,
        ballot.standing or _taken(ballot, finding),
        ballot.value,
        result.answered_at,
        result.latency_ms,
        ballot.late_ms,
        ballot.weight if counted else 0.0,
        result.attempts,
        ballot.reason,
    )


def _taken(ballot: Ballot, finding: Finding) -> Standing:
    return "supports" if ballot.agent_id in finding.supporters else finding.others
