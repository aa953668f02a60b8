"""What is asked of the agents, and what came of it: the values that go into a broadcaster and come out. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from resources.agents.strategies.base import Strategy
from resources.agents.strategies.parallel import Parallel
from resources.agents.wire.message import Message, Priority
from resources.core.errors import DataError

if TYPE_CHECKING:
    from resources.agents.members.directory import CapabilityQuery


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be done, by whom and until when."""

    name: str
    args: dict[str, Any]
    targets: Sequence[str]
    """Agent ids; the candidates where a strategy chooses. Empty: those of the configuration, in `run` alone."""
    timeout_s: float
    priority: Priority = "normal"
    message_id: str | None = None
    """Given by whoever may repeat the command: the same id is never executed twice."""
    kind: Literal["command", "query"] = "command"
    """A query asks and changes nothing; on the wire it is a message type of its own."""
    check_args: bool = True
    """False: arguments that do not fit what an agent has declared are sent all the same; the agent judges them."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command at one agent."""

    agent_id: str
    state: str
    """As `agents.deliveries`: queued, sent, answered, expired, failed, in_doubt."""
    attempts: int
    """How often the broker took it over for this agent."""
    reason: str | None
    result: Any
    """What the agent answered; None unless it did."""
    latency_ms: float | None
    """From accepting the command to this answer."""
    answered_at: datetime | None
    score: float | None = None
    """The agent's performance score when this was read, 0 to 1; None until measured."""
    awaited: bool = True
    """False: the command ended (enough answers, cancelled) before this agent's answer, which may still come."""

    @property
    def good(self) -> bool:
        """Whether the agent answered that it did it."""
        return self.state == "answered"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that was not addressed, and why."""

    agent_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many good answers are enough: a number, or a share of those addressed."""

    count: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is neither or both.

        Raises:
            DataError: Not exactly one of count (from 1) and share (above 0, at most 1).
        """
        if (self.count is None) == (self.share is None):
            raise DataError("quorum: give either a number of good answers or a share of the agents addressed")
        if self.count is not None and self.count < 1:
            raise DataError(f"quorum: {self.count} good answers cannot be waited for; give at least 1")
        if self.share is not None and not 0 < self.share <= 1:
            raise DataError(f"quorum: a share of {self.share:g} cannot be waited for; give one above 0 and at most 1")

    def of(self, addressed: int) -> int:
        """Return how many good answers that is of `addressed` agents.

        Raises:
            DataError: More than there are.
        """
        if self.share is not None:
            # 0.1 * 30 is a little more than 3
            return max(1, math.ceil(round(self.share * addressed, 9)))
        assert self.count is not None
        if self.count > addressed:
            raise DataError(f"quorum: {self.count} good answers are asked for, and {addressed} agents are addressed")
        return self.count


@dataclass(frozen=True, slots=True)
class Retry:
    """When an agent that is silent gets the same message again, under its id: it is never executed twice."""

    times: int = 1
    """Sendings beyond the first."""
    after_s: float | None = None
    """Silence before the next sending, and before another agent takes the silent one's place; None: the time there is,
    shared evenly among the sendings."""

    def __post_init__(self) -> None:
        """Refuse a number of sendings below 0 and a silence that is none with a DataError."""
        if self.times < 0:
            raise DataError(f"retry: {self.times} sendings more are fewer than none; give 0 or more")
        if self.after_s is not None and not self.after_s > 0:
            raise DataError(f"retry: a silence of {self.after_s:g} s is none; give more than 0")


@dataclass(frozen=True, slots=True)
class Request:
    """A command, and how it goes about."""

    command: Command
    strategy: Strategy = field(default_factory=Parallel)
    capabilities: CapabilityQuery | None = None
    """Only agents that declare these, whatever the strategy; None: whatever they declare."""
    quorum: Quorum | None = None
    """Good answers after which the command is done; None: every agent is waited for."""
    retry: Retry = field(default_factory=Retry)
    wait_s: float | None = None
    """Return with what there is after this time, while the command goes on; None: wait for its end."""
    skip_open_circuits: bool = True
    """Leave out agents that were silent several times in a row, until they have been tried again."""
    dry_run: bool = False
    """Say who would be addressed; nothing is stored or sent."""


OutcomeStatus = Literal["accepted", "done", "cancelled", "dry_run"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command at all of its targets."""

    message: Message
    repeated: bool
    """True if this id had been accepted before: nothing new was sent."""
    results: tuple[Result, ...]
    """One per agent addressed, by agent id."""
    skipped: tuple[Skipped, ...] = ()
    """Candidates that were not addressed, by agent id."""
    status: OutcomeStatus = "done"
    """accepted: the wait ended before the command; what is still open goes on."""
    needed: int | None = None
    """Good answers that were enough, where there was a quorum."""

    @property
    def answered(self) -> int:
        """How many agents answered that they did it."""
        return sum(result.good for result in self.results)

    @property
    def enough(self) -> bool:
        """Whether the quorum was reached; without one, whether everyone addressed answered well."""
        return self.answered >= (len(self.results) if self.needed is None else self.needed)

    @property
    def latencies_ms(self) -> list[float]:
        """Latencies of the agents that answered at all, ascending."""
        return sorted(result.latency_ms for result in self.results if result.latency_ms is not None)
