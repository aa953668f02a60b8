"""How well an agent has answered lately: the performance score, 0 to 1, and the book of all of them.

Every finished delivery is evidence of a quality between 0 and 1, and loses half its weight with every half-life h::

    q  =  0                                    failed, in doubt, or no answer although the agent was there
    q  =  (1 - a) + a * L / (L + latency)      answered; a = 0.3, L = the latency that costs half of a
    w  =  2 ** (-(now - time) / h)

    score  =  (p * 0.5 + sum(w * q)) / (p + sum(w))          p = 1: the prior, as heavy as one fresh answer

So success rate counts for 70 % and latency for 30 %; an agent of which nothing is known has 0.5, and without news every
score returns there. Two sums and their time are all that is kept: `good` = sum(w * q), `weight` = sum(w), as of `at`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

NEUTRAL = 0.5
"""The score of an agent of which nothing is known."""

PRIOR_WEIGHT = 1.0
"""How many fresh answers the neutral score outweighs."""

LATENCY_SHARE = 0.3
"""The share of an answer's quality that its latency decides."""

_WORTH_WRITING = 0.01
"""A score that fades is written again once it has moved so far."""


@dataclass(frozen=True, slots=True)
class Score:
    """The evidence on one agent as of `at`."""

    good: float
    weight: float
    at: datetime

    @property
    def value(self) -> float:
        """The score as of `at`, 0 to 1."""
        return (PRIOR_WEIGHT * NEUTRAL + self.good) / (PRIOR_WEIGHT + self.weight)


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """The two constants a plant may choose."""

    half_life: timedelta = timedelta(hours=1)
    """Evidence loses half its weight in this time."""
    latency: timedelta = timedelta(seconds=1)
    """An answer after this time has lost half of what latency decides."""

    def quality(self, latency_ms: float | None) -> float:
        """Return the quality of a delivery, 0 to 1; `latency_ms` is None unless the agent did what it was told."""
        if latency_ms is None:
            return 0.0
        half = self.latency / timedelta(milliseconds=1)
        return (1 - LATENCY_SHARE) + LATENCY_SHARE * half / (half + max(latency_ms, 0.0))

    def faded(self, score: Score, at: datetime) -> Score:
        """Return the same evidence as of a later time; a clock that was set back fades nothing."""
        left = 0.5 ** (max(at - score.at, timedelta(0)) / self.half_life)
        return Score(score.good * left, score.weight * left, max(at, score.at))

    def with_evidence(self, score: Score | None, quality: float, at: datetime) -> Score:
        """Return the score after one more delivery."""
        if score is None:
            return Score(quality, 1.0, at)
        faded = self.faded(score, at)
        return Score(faded.good + quality, faded.weight + 1.0, faded.at)


class ScoreBook:
    """The scores of all agents in memory, and which of them are to be written; safe from any thread."""

    def __init__(self, rule: ScoreRule) -> None:
        """Begin empty."""
        self._rule = rule
        self._lock = Lock()
        self._scores: dict[str, Score] = {}
        self._written: dict[str, float] = {}
        self._changed: set[str] = set()

    def restore(self, scores: Mapping[str, Score]) -> None:
        """Take over what was stored."""
        with self._lock:
            self._scores = dict(scores)
            self._written = {agent_id: score.value for agent_id, score in scores.items()}
            self._changed.clear()

    def add(self, agent_id: str, latency_ms: float | None, at: datetime) -> None:
        """Take one finished delivery as evidence; `latency_ms` is None unless the agent did what it was told."""
        quality = self._rule.quality(latency_ms)
        with self._lock:
            self._scores[agent_id] = self._rule.with_evidence(self._scores.get(agent_id), quality, at)
            self._changed.add(agent_id)

    def get(self, agent_id: str, at: datetime) -> Score | None:
        """Return the score of an agent as of `at`, None if nothing is known."""
        score = self._scores.get(agent_id)
        return None if score is None else self._rule.faded(score, at)

    def take_changed(self, at: datetime, *, faded: bool = False) -> dict[str, Score]:
        """Return the scores with new evidence, and with `faded` also those that time has moved by 0.01."""
        with self._lock:
            agents: Iterable[str] = self._scores if faded else self._changed
            found = {agent_id: self._rule.faded(self._scores[agent_id], at) for agent_id in agents}
            if faded:
                found = {agent_id: score for agent_id, score in found.items() if self._is_news(agent_id, score)}
            self._written.update({agent_id: score.value for agent_id, score in found.items()})
            self._changed.clear()
            return found

    def _is_news(self, agent_id: str, score: Score) -> bool:
        written = self._written.get(agent_id)
        return agent_id in self._changed or written is None or abs(score.value - written) >= _WORTH_WRITING
