"""Parallel: everyone who is named gets the command, a bounded number at a time, or all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resources.agents.strategies.base import Candidate, Choice
from resources.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Parallel:
    """Everyone; also who is offline, since the broker keeps the command for its return."""

    concurrency: int | None = 10
    """Most agents that are waited for at a time; None: all at once, under one signature."""
    only_online: bool = False
    """Leave out agents that are offline."""

    name = "parallel"
    by_capability = False
    weighs = False
    turn = None
    needed = None

    def __post_init__(self) -> None:
        """Refuse a concurrency below 1 with a DataError."""
        if self.concurrency is not None and self.concurrency < 1:
            raise DataError(f"strategy parallel: a concurrency of {self.concurrency} sends nothing; give at least 1")

    def choose(self, candidates: Sequence[Candidate], last: str | None) -> Choice:
        """Return all candidates as they are named."""
        return Choice(tuple(candidate.agent_id for candidate in candidates))
