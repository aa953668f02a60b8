"""Who is at risk, since when, and whether the warnings were right: one step per slot, the same live and in a replay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sensors.collector.connection_health.history import Bools, Floats, Slots
from sensors.collector.connection_health.rule import SIGNS, RiskRule, Usual, risks, usual_of

RAISED_AT, OVER_BELOW = 1.0, 0.5
"""A warning is given at the first, and over when every sign is below the second."""

CONFIRMED = 3
"""Slots in a row that a sign must be strong for: a jump passes for growth while it is half-way through the stretch."""

MOST_HORIZONS = 4
"""A warning that stands for so many horizons without a failure was false."""

USUAL_EVERY_S = 300.0
"""How often the history is looked through anew."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Change:
    """A source came to be at risk, or is so no longer."""

    source: int
    """Its position."""
    at_risk: bool
    time: float
    """End of the slot, seconds since 1970."""
    sign: str
    """The strongest sign."""
    risk: float
    """Its strength; 1 is where a warning begins."""
    warned_at: float
    """When the warning was given."""


class RiskBook:
    """Judges slot after slot."""

    def __init__(self, sources: int, rule: RiskRule, *, failure_s: float) -> None:
        """Begin with nobody at risk; a source that is away for `failure_s` has failed."""
        self.rule, self._failure_s = rule, failure_s
        self.risk: Floats = np.zeros((sources, len(SIGNS)))
        """The signs as last judged."""
        self.at_risk: Bools = np.zeros(sources, dtype=np.bool_)
        self.warnings: Counts = np.zeros(sources, dtype=np.int64)
        """Warnings given."""
        self.right: Counts = np.zeros(sources, dtype=np.int64)
        """Warnings that the source failed after: within the horizon, or while the warning stood."""
        self.false: Counts = np.zeros(sources, dtype=np.int64)
        """Warnings after which it did not."""
        self.failures: Counts = np.zeros(sources, dtype=np.int64)
        """Times that a source was away for `failure_s`."""
        self.warned_failures: Counts = np.zeros(sources, dtype=np.int64)
        """Those before which a warning had been given within the horizon, or still stood."""
        self.lead_s: list[float] = []
        """From the warning to the beginning of each of those."""
        self._warned_at = np.full(sources, -np.inf)
        self._undecided: Bools = np.zeros(sources, dtype=np.bool_)
        self._strong_for = np.zeros(sources, dtype=np.int64)
        self._away_s = np.zeros(sources)
        self._away_since = np.full(sources, np.inf)
        self._usual: Usual | None = None
        self._usual_at = -np.inf

    def judge(self, slots: Slots, limit_s: Floats) -> list[Change]:
        """Judge the last one of `slots`, the history included; return who came to be at risk, and who no longer is."""
        now = float(slots.times[-1])
        is_recent = slots.times > now - self.rule.recent_s + 0.5 * self.rule.slot_s
        if self._usual is None or now - self._usual_at >= USUAL_EVERY_S:
            self._usual, self._usual_at = usual_of(slots.part(~is_recent), self.rule), now
        self.risk = risks(slots.part(is_recent), self._usual, limit_s, self.rule)
        strongest = self.risk.max(axis=1)
        down_s = slots.down_s[-1]
        self._note_outages(now, down_s)
        self._strong_for = np.where(strongest >= RAISED_AT, self._strong_for + 1, 0)
        raised = ~self.at_risk & (self._strong_for >= CONFIRMED) & (down_s == 0)
        over = self.at_risk & (strongest < OVER_BELOW) & (down_s == 0)
        self._warned_at[raised] = now
        self._undecided |= raised
        self.warnings += raised
        self.at_risk = (self.at_risk | raised) & ~over
        self._decide(now)
        return [self._change(int(source), now) for source in np.flatnonzero(raised | over)]

    def _note_outages(self, now: float, down_s: Floats) -> None:
        """Add up how long the sources are away; one that was away long enough has failed, once."""
        away = down_s > 0
        begins = away & (self._away_s == 0)
        self._away_since[begins] = now - down_s[begins]
        before = self._away_s.copy()
        self._away_s = np.where(away, self._away_s + down_s, 0.0)
        failed = (self._away_s >= self._failure_s) & (before < self._failure_s)
        if not failed.any():
            return
        self.failures += failed
        lead = self._away_since - self._warned_at  # endless where no warning was given
        warned = failed & (self.at_risk | (lead <= self.rule.horizon_s))
        self.warned_failures += warned
        self.lead_s += lead[warned].tolist()
        right = failed & self._undecided
        self.right += right
        self._undecided &= ~right

    def _decide(self, now: float) -> None:
        """Count the warnings that no failure has followed; an outage that goes on may still become one."""
        since_s = now - self._warned_at
        stands = self.at_risk & (since_s <= MOST_HORIZONS * self.rule.horizon_s)
        late = self._undecided & (since_s > self.rule.horizon_s) & ~stands & (self._away_s == 0)
        self.false += late
        self._undecided &= ~late

    def _change(self, source: int, now: float) -> Change:
        sign = int(self.risk[source].argmax())
        return Change(
            source=source,
            at_risk=bool(self.at_risk[source]),
            time=now,
            sign=SIGNS[sign],
            risk=float(self.risk[source, sign]),
            warned_at=float(self._warned_at[source]),
        )
