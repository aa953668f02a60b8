"""What a strategy is given and what it says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from resources.agents.members.score import NEUTRAL


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent that may be chosen."""

    agent_id: str
    score: float = NEUTRAL
    """Performance score, 0 to 1."""
    open_commands: int = 0
    """Commands it has not answered yet and is being waited for."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who gets the command, in the order in which it is sent."""

    targets: tuple[str, ...]
    turn_ends_with: str | None = None
    """After whom the next turn begins; None: there is no turn."""


class Strategy(Protocol):
    """Chooses the targets of one command; a value that can be kept in a configuration."""

    @property
    def name(self) -> str:
        """The strategy's name in configurations and on the command line."""
        ...

    @property
    def by_capability(self) -> bool:
        """Whether the request must say which capabilities are wanted."""
        ...

    @property
    def only_online(self) -> bool:
        """Whether an agent that is offline is no candidate; else it gets the command when it returns."""
        ...

    @property
    def weighs(self) -> bool:
        """Whether the score and the open commands of the candidates matter; they are not looked up otherwise."""
        ...

    @property
    def turn(self) -> str | None:
        """Name of the durable turn that the choice begins with; None: it has none."""
        ...

    @property
    def concurrency(self) -> int | None:
        """Most agents that are waited for at a time; None: all at once."""
        ...

    @property
    def needed(self) -> int | None:
        """Good answers that are enough for this strategy by itself; None: all."""
        ...

    def choose(self, candidates: Sequence[Candidate], last: str | None) -> Choice:
        """Return who gets the command.

        Args:
            candidates: Whoever may be chosen, at least one, by agent id.
            last: The agent with which the turn ended the last time; None: this is the first, or there is no turn.
        """
        ...
