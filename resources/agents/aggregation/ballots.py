"""Where each agent stands before the answers are put together: whether it gave a usable answer, and its vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resources.agents.aggregation.model import LEAST_WEIGHT, Aggregation, Policy, Standing
from resources.agents.aggregation.numbers import number
from resources.agents.aggregation.pointer import ABSENT, resolve, split_pointer
from resources.agents.members.score import NEUTRAL
from resources.agents.requests import Result

FAILED = frozenset({"failed", "in_doubt"})
"""States of a delivery whose answer says that it went wrong."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """One agent's answer as an aggregation sees it."""

    result: Result
    standing: Standing | None
    """None: a usable answer, whose standing the method decides."""
    value: Any
    """What it said at `path`; None unless usable."""
    quality: float | None
    """What `best` judges it by; None for the other methods."""
    weight: float
    late_ms: float | None
    reason: str | None

    @property
    def agent_id(self) -> str:
        """Who answered."""
        return self.result.agent_id

    @property
    def when(self) -> tuple[bool, float, str]:
        """Sorts ballots by the time of their answers, those without a time last, ties by agent id."""
        at = self.result.answered_at
        return at is None, 0.0 if at is None else at.timestamp(), self.agent_id


def cast(results: Sequence[Result], aggregation: Aggregation, deadline: datetime | None) -> list[Ballot]:
    """Return one ballot per result, by agent id."""
    return [_ballot(result, aggregation, deadline) for result in sorted(results, key=lambda result: result.agent_id)]


def policy_for(ballot: Ballot, aggregation: Aggregation) -> Policy | None:
    """Return what is to be done with a ballot that is not usable; None if the aggregation does not mind it."""
    if ballot.standing == "missing":
        return aggregation.on_missing
    if ballot.standing in ("failed", "unusable"):
        return aggregation.on_failed
    return None


def _ballot(result: Result, aggregation: Aggregation, deadline: datetime | None) -> Ballot:
    score = _score(result)
    late_ms = _late_ms(result.answered_at, deadline)
    standing, reason = _standing(result, late_ms, aggregation)
    value, quality = None, None
    if standing is None:
        value = resolve(result.result, split_pointer(aggregation.path))
        quality = _quality(result, aggregation, score)
        reason = _fault(value, quality, aggregation)
        if reason is not None:
            standing, value = "unusable", None
    weight = max(score, LEAST_WEIGHT) if aggregation.weighted else 1.0
    return Ballot(result, standing, value, quality, weight, late_ms, reason)


def _standing(result: Result, late_ms: float | None, aggregation: Aggregation) -> tuple[Standing | None, str | None]:
    if result.state in FAILED:
        return "failed", result.reason or result.state
    if not result.good:
        return (
            "missing" if result.awaited else "not_awaited",
            result.reason or f"no answer, the delivery is {result.state}",
        )
    if late_ms and not aggregation.accept_late:
        return "missing", f"answered {late_ms:.0f} ms after the deadline"
    return None, None


def _fault(value: Any, quality: float | None, aggregation: Aggregation) -> str | None:
    """Return why an answer is of no use to the method; None if it is."""
    where = aggregation.path or "the result"
    if value is ABSENT:
        return f"the result has nothing at {where}"
    if aggregation.method == "average" and number(value) is None:
        return f"{where} is no number"
    if aggregation.method == "best" and quality is None:
        return f"there is no quality to judge by at {aggregation.quality_path or where}"
    return None


def _quality(result: Result, aggregation: Aggregation, score: float) -> float | None:
    if aggregation.method != "best":
        return None
    if aggregation.rank_by == "score":
        return score
    if aggregation.rank_by == "latency":
        return result.latency_ms
    return number(resolve(result.result, split_pointer(aggregation.quality_path or aggregation.path)))


def _score(result: Result) -> float:
    score = number(result.score)
    return NEUTRAL if score is None else min(max(score, 0.0), 1.0)


def _late_ms(answered_at: datetime | None, deadline: datetime | None) -> float | None:
    if answered_at is None or deadline is None:
        return None
    return max(0.0, (answered_at - deadline).total_seconds() * 1000)
