"""Load-balanced: those that answer best and have least to do, and now and then another, so that no agent starves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from resources.agents.strategies.base import Candidate, Choice
from resources.core.errors import DataError


@dataclass(frozen=True, slots=True)
class LoadBalanced:
    """The `count` best of the candidates by score / (1 + open commands); equals are drawn by lot.

    Each place goes, with the probability `exploration`, to an agent drawn from all that are not chosen yet. An agent
    that is never among the best of n therefore still gets a command once in n / (count * exploration) on average, and
    its score can rise again.
    """

    count: int = 1
    """How many agents get the command; all if there are fewer."""
    exploration: float = 0.1
    """Share of the places that are drawn by lot, 0 to 1; 0 lets the others starve."""
    seed: int | None = None
    """Makes the lot repeatable; None: a different one each time."""
    concurrency: int | None = None
    """Most agents that are waited for at a time; None: all at once."""

    name = "load_balanced"
    by_capability = False
    only_online = True
    weighs = True
    turn = None
    needed = None

    def __post_init__(self) -> None:
        """Refuse a count below 1, a concurrency below 1 and a share that is none with a DataError."""
        if self.count < 1:
            raise DataError(f"strategy load_balanced: a count of {self.count} addresses nobody; give at least 1")
        if not 0 <= self.exploration <= 1:
            raise DataError(f"strategy load_balanced: {self.exploration:g} is no share; exploration is 0 to 1")
        if self.concurrency is not None and self.concurrency < 1:
            raise DataError(
                f"strategy load_balanced: a concurrency of {self.concurrency} sends nothing; give 1 or more"
            )

    def choose(self, candidates: Sequence[Candidate], last: str | None) -> Choice:
        """Return the best, in the order in which they were chosen."""
        lot = random.Random(self.seed)
        # shuffled before the stable sort: equals in any order
        left = lot.sample(list(candidates), len(candidates))
        left.sort(key=_weight, reverse=True)
        chosen: list[str] = []
        while left and len(chosen) < self.count:
            explores = lot.random() < self.exploration
            chosen.append(left.pop(lot.randrange(len(left)) if explores else 0).agent_id)
        return Choice(tuple(chosen))


def _weight(candidate: Candidate) -> float:
    return candidate.score / (1 + candidate.open_commands)
