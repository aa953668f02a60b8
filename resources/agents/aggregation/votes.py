"""Majority and consensus: what most, or all, of the agents say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resources.agents.aggregation.agreement import (
    Floats,
    agreeing,
    as_rows,
    neighbours,
    remoteness,
    spreads,
    take_apart,
)
from resources.agents.aggregation.ballots import Ballot
from resources.agents.aggregation.finding import Finding
from resources.agents.aggregation.model import Aggregation

_MOST_NAMED = 10
"""Answers that details name, at most."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Answers that are the same but for their numbers."""

    ballots: list[Ballot]
    numbers: Floats

    @property
    def weights(self) -> Floats:
        """One per answer."""
        return np.array([ballot.weight for ballot in self.ballots])


def majority(ballots: Sequence[Ballot], aggregation: Aggregation) -> Finding:
    """Return the answer that the most weight agrees with; of several, the one in the middle of those that agree.

    Supporters differ from the value by no more than the tolerance; among each other they may differ by twice as much.
    """
    votes = _votes(ballots, aggregation)
    leader, supporters = votes[0]
    named = [{"value": b.value, "agents": [s.agent_id for s in behind]} for b, behind in votes[:_MOST_NAMED]]
    return Finding(leader.value, frozenset(ballot.agent_id for ballot in supporters), {"votes": named})


def consensus(ballots: Sequence[Ballot], aggregation: Aggregation) -> Finding:
    """Return the answer in the middle if no two answers differ by more than the tolerance."""
    groups = _groups(ballots)
    everyone = frozenset(ballot.agent_id for ballot in ballots)
    if len(groups) == 1:
        (group,) = groups
        spread = spreads(group.numbers)
        widest = float(spread.max(initial=0.0))
        details = {"spread": widest}
        if _is_unanimous(group, spread, aggregation):
            centre = _ranked(group, remoteness(group.numbers))[0]
            return Finding(group.ballots[centre].value, everyone, details)
        reason = f"the answers differ: their numbers are up to {widest:g} apart"
    else:
        details = {"answers": len(groups)}
        reason = f"the answers differ: there are {len(groups)} that are not alike"
    supporters = frozenset(ballot.agent_id for ballot in _votes(ballots, aggregation)[0][1])
    return Finding(None, supporters, details, refusal=reason)


def _votes(ballots: Sequence[Ballot], aggregation: Aggregation) -> list[tuple[Ballot, list[Ballot]]]:
    """Return answers with those that agree with them, the most weight first; a ballot counts for one answer."""
    if aggregation.tolerance or aggregation.relative_tolerance:
        votes = [vote for group in _groups(ballots) for vote in _votes_within(group, aggregation)]
    else:
        same: dict[Hashable, list[Ballot]] = defaultdict(list)
        for ballot in ballots:
            same[take_apart(ballot.value)].append(ballot)
        votes = [(members[0], members) for members in same.values()]
    return sorted(votes, key=lambda vote: (-sum(ballot.weight for ballot in vote[1]), vote[0].agent_id))


def _votes_within(group: _Group, aggregation: Aggregation) -> Iterator[tuple[Ballot, list[Ballot]]]:
    """Yield the answers of one shape that details may name, each with those near it that are near no earlier one."""
    tolerance, relative = aggregation.tolerance, aggregation.relative_tolerance
    support, distance = neighbours(group.numbers, tolerance, relative, group.weights)
    free = np.ones(len(group.ballots), dtype=np.bool_)
    named = 0
    for centre in _ranked(group, -support, distance):
        if free[centre]:
            near = agreeing(group.numbers, centre, tolerance, relative) & free
            yield group.ballots[centre], [group.ballots[row] for row in np.flatnonzero(near)]
            free &= ~near
            named += 1
        if named == _MOST_NAMED:
            return


def _ranked(group: _Group, *keys: Floats) -> list[int]:
    """Return the rows by these keys, equal ones by their numbers and their agents: the same in whatever order."""

    def key(row: int) -> tuple[Any, ...]:
        return (*(values[row] for values in keys), tuple(group.numbers[row]), group.ballots[row].agent_id)

    return sorted(range(len(group.ballots)), key=key)


def _groups(ballots: Sequence[Ballot]) -> list[_Group]:
    found: dict[Hashable, list[tuple[Ballot, tuple[float, ...]]]] = defaultdict(list)
    for ballot in ballots:
        shape, numbers = take_apart(ballot.value)
        found[shape].append((ballot, numbers))
    return [
        _Group([ballot for ballot, _ in members], as_rows([numbers for _, numbers in members]))
        for members in found.values()
    ]


def _is_unanimous(group: _Group, spread: Floats, aggregation: Aggregation) -> bool:
    greatest = np.abs(group.numbers).max(axis=0)
    return bool((spread <= np.maximum(aggregation.tolerance, aggregation.relative_tolerance * greatest)).all())
