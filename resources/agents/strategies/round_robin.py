"""Round-robin: one after the other, beginning after the agent with which the last turn ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resources.agents.strategies.base import Candidate, Choice
from resources.core.errors import DataError


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """The candidates in a ring ordered by agent id; where a turn ended is durable, so the ring goes on after a restart.

    The next sending waits for the answer to the one before it, or for the agent's silence. An agent that joins or
    leaves changes nothing for the others: the ring goes on with the next greater id. The next turn begins after the
    last agent of this one; after its first, where the others are asked only if it fails, or all are asked.
    """

    count: int | None = None
    """How many agents get the command; None: all, once around."""
    stop_at_first_good: bool = False
    """The first good answer is enough: those whose turn has not come by then get nothing."""
    turn: str = "default"
    """Name of the ring; commands that share a name share its turn."""
    only_online: bool = True
    """Leave out agents that are offline: a turn spent on them is a wait for nothing."""

    name = "round_robin"
    by_capability = False
    weighs = False
    concurrency = 1

    def __post_init__(self) -> None:
        """Refuse a count below 1 and a turn without a name with a DataError."""
        if self.count is not None and self.count < 1:
            raise DataError(f"strategy round_robin: a count of {self.count} addresses nobody; give at least 1")
        if not 0 < len(self.turn) <= 128:
            raise DataError("strategy round_robin: the name of a turn has 1 to 128 characters")

    @property
    def needed(self) -> int | None:
        """One good answer, where the first is enough."""
        return 1 if self.stop_at_first_good else None

    def choose(self, candidates: Sequence[Candidate], last: str | None) -> Choice:
        """Return the next `count` of the ring."""
        ring = sorted(candidate.agent_id for candidate in candidates)
        start = 0 if last is None else next((n for n, agent_id in enumerate(ring) if agent_id > last), 0)
        turn = tuple([*ring[start:], *ring[:start]][: self.count])
        # who is asked only if the first fails has not had its turn yet; and a whole circle begins elsewhere each time
        moves_by_one = self.stop_at_first_good or len(turn) == len(ring)
        return Choice(turn, turn[0] if moves_by_one else turn[-1])
