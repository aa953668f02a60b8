"""What is asked of an aggregation, and what comes of it.

Every agent that was asked stands somewhere (`Standing`). What the policies say of missing and failed answers decides
who is counted. `support` is the share of the counted that stand behind the value (of `first` and `best`, where one is
chosen among many: that gave a usable answer), and the aggregate succeeds when it reaches `share`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from resources.agents.aggregation.pointer import split_pointer
from resources.core.errors import DataError

Method = Literal["all", "majority", "average", "consensus", "first", "best"]
Policy = Literal["ignore", "against", "fail"]
Standing = Literal["supports", "dissents", "not_chosen", "unusable", "failed", "missing", "not_awaited"]
Ranking = Literal["value", "score", "latency"]

METHODS: tuple[Method, ...] = get_args(Method)
"""The six ways."""

POLICIES: tuple[Policy, ...] = get_args(Policy)
"""What can be done with an answer that is missing or failed."""

RANKINGS: tuple[Ranking, ...] = get_args(Ranking)
"""What `best` can judge answers by."""


LEAST_WEIGHT = 0.01
"""Weight of an agent whose score is lower: the poorest still has a voice, and weights never sum to nothing."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a method does unless told otherwise."""

    missing: Policy
    failed: Policy
    share: float


DEFAULTS: Mapping[Method, Defaults] = {
    "all": Defaults("against", "against", 1.0),
    "majority": Defaults("against", "against", 0.5),
    "average": Defaults("ignore", "ignore", 0.5),
    "consensus": Defaults("against", "against", 1.0),
    "first": Defaults("ignore", "ignore", 0.0),
    "best": Defaults("ignore", "ignore", 0.0),
}
"""Method -> its policies and the share it needs. A majority is of those asked, unanimity is everyone's."""


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How answers are put together.

    Policies, for missing answers (none came, or it came after the deadline and `accept_late` is off) and for failed
    ones (an error, in doubt, or an answer that lacks what `path` asks for):

    - `ignore`: as if that agent had not been asked. So are agents whose answers were not awaited, whatever the policy.
    - `against`: it is counted, and does not stand behind the value: support falls.
    - `fail`: one such answer and there is no value.

    Raises:
        DataError: A field is out of its range; the message says which.
    """

    method: Method = "all"
    path: str = ""
    """JSON Pointer (RFC 6901) into each result, such as `/efficiency`; empty: the whole result."""
    missing: Policy | None = None
    """None: what DEFAULTS says of the method."""
    failed: Policy | None = None
    """None: what DEFAULTS says of the method."""
    share: float | None = None
    """Least support, 0 to 1; a majority also needs more than half. None: what DEFAULTS says of the method."""
    weighted: bool = False
    """Let agents count by their performance score, and not all alike (0.5 until measured)."""
    tolerance: float = 0.0
    """Numbers that differ by no more are the same (majority, consensus)."""
    relative_tolerance: float = 0.0
    """So are numbers that differ by no more than this share of the larger one."""
    rank_by: Ranking = "value"
    """What `best` judges by: a number in the result, the agent's performance score, or the latency."""
    quality_path: str = ""
    """JSON Pointer to the number that `best` judges by; empty: the value at `path`."""
    prefer: Literal["highest", "lowest"] | None = None
    """Which quality is best. None: the highest, and of latencies the lowest."""
    accept_late: bool = True
    """Whether an answer from after the deadline is one."""

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        _one_of("method", self.method, METHODS)
        _one_of("missing", self.missing, (*POLICIES, None))
        _one_of("failed", self.failed, (*POLICIES, None))
        _one_of("rank_by", self.rank_by, RANKINGS)
        _one_of("prefer", self.prefer, ("highest", "lowest", None))
        if self.share is not None and not 0 <= self.share <= 1:
            raise DataError(f"aggregation {self.method}: share {self.share} is not a share; give 0 to 1")
        for name in ("tolerance", "relative_tolerance"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise DataError(f"aggregation {self.method}: {name} {value} must be 0 or more, and finite")
        split_pointer(self.path)
        split_pointer(self.quality_path)

    @property
    def on_missing(self) -> Policy:
        """The policy in force for missing answers."""
        return self.missing or DEFAULTS[self.method].missing

    @property
    def on_failed(self) -> Policy:
        """The policy in force for failed answers."""
        return self.failed or DEFAULTS[self.method].failed

    @property
    def least_share(self) -> float:
        """The share in force."""
        return DEFAULTS[self.method].share if self.share is None else self.share


@dataclass(frozen=True, slots=True)
class Provenance:
    """What one agent contributed."""

    agent_id: str
    standing: Standing
    value: Any
    """What it said at `path`; None without a usable answer."""
    answered_at: datetime | None
    latency_ms: float | None
    late_ms: float | None
    """How long after the deadline it answered; 0 if in time, None without an answer or a deadline."""
    weight: float
    """Its vote; 0 if it was not counted."""
    attempts: int
    reason: str | None
    """Why there is nothing, or nothing usable, from it."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What many answers come to."""

    method: Method
    succeeded: bool
    value: Any
    """None unless it succeeded: all: agent id -> value; average: the mean; otherwise what an agent said."""
    reason: str | None
    """Why it did not succeed."""
    support: float
    """Share of the counted that stand behind the value, 0 to 1."""
    details: Mapping[str, Any]
    """The method's own figures, such as votes or spread."""
    provenance: tuple[Provenance, ...]
    """One entry per agent that was asked, by agent id."""

    def agents(self, *standings: Standing) -> tuple[str, ...]:
        """Return the ids of the agents that stand so."""
        return tuple(entry.agent_id for entry in self.provenance if entry.standing in standings)


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        named = ", ".join(str(item) for item in allowed if item is not None)
        raise DataError(f"aggregation: {name} {value!r} is unknown; give one of {named}")
