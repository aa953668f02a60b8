"""Capability-based: whoever is online and can do it, the best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resources.agents.strategies.base import Candidate, Choice
from resources.core.errors import DataError


@dataclass(frozen=True, slots=True)
class ByCapability:
    """All candidates with the capabilities of the request, or the `count` of them with the best scores."""

    count: int | None = None
    """How many agents get the command; None: all that are found."""
    concurrency: int | None = 10
    """Most agents that are waited for at a time; None: all at once."""

    name = "capability"
    by_capability = True
    only_online = True
    weighs = True
    turn = None
    needed = None

    def __post_init__(self) -> None:
        """Refuse a count or a concurrency below 1 with a DataError."""
        if self.count is not None and self.count < 1:
            raise DataError(f"strategy capability: a count of {self.count} addresses nobody; give at least 1")
        if self.concurrency is not None and self.concurrency < 1:
            raise DataError(f"strategy capability: a concurrency of {self.concurrency} sends nothing; give at least 1")

    def choose(self, candidates: Sequence[Candidate], last: str | None) -> Choice:
        """Return those with the best scores, equals by agent id."""
        best = sorted(candidates, key=lambda found: (-found.score, found.agent_id))
        return Choice(tuple(found.agent_id for found in best[: self.count]))
