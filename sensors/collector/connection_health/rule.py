"""The rule: how far the latest stretch of every connection is beyond what its own history makes likely. Pure NumPy.

Three signs, each 0 for nothing odd, 1 and more for a warning:

**latency**: answer times that grow. Taken are logarithms. The history gives the usual answer time (median) and its
spread (1.4826 MAD, at least LEAST_SPREAD); the latest stretch is cut into thirds, each with its median. The growth per
third is the lesser of the two steps, so that one jump is no growth. The sign is how much of the way from the usual time
to the time limit will be gone at the end of `horizon` if the growth goes on; 0 as long as the last third lies less than
UNUSUAL spreads above the usual.

**retries**: runs of slots in which something was tried again. Their rate has the distribution that the history leaves
of it (gamma, from a prior of one run in PRIOR_H hours), so their number in the latest stretch has a negative binomial
one. The sign is ln(p) / ln(chance), where p is the probability of so many or more.

**gaps**: the same for the seconds of which nothing was read, counted in units of D = sum L^2 / sum L over the lengths L
of the history's gaps: what makes the number of units of a compound Poisson process vary like a Poisson one. The prior
is one gap of PRIOR_GAP_S in PRIOR_H hours.

One run, or one gap, alone is no sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sensors.collector.connection_health.history import Bools, Floats, Slots

SIGNS = ("latency", "retries", "gaps")
"""What is looked at; the columns of `risks`."""

LEAST_SPREAD = 0.2
"""Spread of the logarithm that any connection is held to have: a fifth up or down says nothing."""

UNUSUAL = 4.0
"""Spreads above the usual from which an answer time is odd."""

LEAST_ANSWERS = 30
"""Answers without which there is no usual answer time."""

LEAST_PER_THIRD = 2
"""Answers that each third of the latest stretch must hold."""

PRIOR_H = 1.0
"""What is believed of a connection that was never seen: one run of retries, and one gap, in this many hours."""

PRIOR_GAP_S = 60.0
"""Length of that gap."""

LEAST_EVENTS = 2
"""Runs of retries, or gaps, in the latest stretch below which they are no sign."""

_LEAST_CHANCE = 1e-12


@dataclass(frozen=True, slots=True)
class RiskRule:
    """What is compared, and when it is too much."""

    slot_s: float
    recent_s: float
    horizon_s: float
    chance: float


@dataclass(frozen=True, slots=True)
class Usual:
    """What the history says of every source; one value a source."""

    level: Floats
    """Median of ln(answer time); NaN where too few are known."""
    spread: Floats
    hours: float
    runs: Floats
    """Runs of retries."""
    gap_s: Floats
    gap_unit_s: Floats
    """D."""


def usual_of(slots: Slots, rule: RiskRule) -> Usual:
    """Return what the slots before the latest stretch say."""
    logs = _logs(slots.latency_s)
    known = np.isfinite(logs).sum(axis=0) >= LEAST_ANSWERS
    level = np.full(logs.shape[1], np.nan)
    spread = np.full(logs.shape[1], LEAST_SPREAD)
    if known.any():
        level[known] = np.nanmedian(logs[:, known], axis=0)
        mad = np.nanmedian(np.abs(logs[:, known] - level[known]), axis=0)
        spread[known] = np.maximum(1.4826 * mad, LEAST_SPREAD)
    lengths, squares = _gap_sums(slots.unread_s)
    return Usual(
        level=level,
        spread=spread,
        hours=len(slots) * rule.slot_s / 3600.0,
        runs=_starts(_troubled(slots, rule)).sum(axis=0).astype(np.float64),
        gap_s=lengths,
        gap_unit_s=(squares + PRIOR_GAP_S**2) / (lengths + PRIOR_GAP_S),
    )


def risks(recent: Slots, usual: Usual, limit_s: Floats, rule: RiskRule) -> Floats:
    """Return every sign of every source: one row a source, a column for each of SIGNS.

    Args:
        recent: The latest stretch.
        usual: What came before.
        limit_s: Per source: an answer that takes longer counts as none.
        rule: What is too much.
    """
    # the whole stretch also where it has only begun: what happened once in ten seconds says little
    hours = rule.recent_s / 3600.0
    runs = _starts(_troubled(recent, rule)).sum(axis=0)
    units = np.floor(recent.unread_s.sum(axis=0) / usual.gap_unit_s)
    runs[runs < LEAST_EVENTS] = 0
    units[_starts(recent.unread_s > 0).sum(axis=0) < LEAST_EVENTS] = 0
    found = np.zeros((len(limit_s), len(SIGNS)))
    found[:, 0] = _latency_risk(recent, usual, limit_s, rule)
    found[:, 1] = _count_risk(runs, 1.0 + usual.runs, usual.hours, hours, rule)
    found[:, 2] = _count_risk(units, 1.0 + usual.gap_s / usual.gap_unit_s, usual.hours, hours, rule)
    return found


def chance_of(counts: npt.ArrayLike, shape: Floats, hours_before: float, hours: float) -> Floats:
    """Return the probability of so many events or more in `hours`.

    Args:
        counts: Events seen in `hours`.
        shape: One more than the events seen in the `hours_before`.
        hours_before: How long the history is.
        hours: How long the latest stretch is.
    """
    wanted = np.asarray(counts, dtype=np.float64)
    stays = (PRIOR_H + hours_before) / (PRIOR_H + hours_before + hours)
    each = stays**shape
    below = np.zeros_like(shape)
    for number in range(int(wanted.max(initial=0))):
        below += np.where(number < wanted, each, 0.0)
        each = each * (shape + number) / (number + 1) * (1.0 - stays)
    found: Floats = np.clip(1.0 - below, _LEAST_CHANCE, 1.0)
    return found


def _count_risk(counts: npt.ArrayLike, shape: Floats, before_h: float, hours: float, rule: RiskRule) -> Floats:
    # the sum makes 0 of -0, which people wonder about
    found: Floats = np.log(chance_of(counts, shape, before_h, hours)) / np.log(rule.chance) + 0.0
    return found


def _latency_risk(recent: Slots, usual: Usual, limit_s: Floats, rule: RiskRule) -> Floats:
    logs = _logs(recent.latency_s)
    thirds = np.array_split(logs, 3)
    enough = np.isfinite(usual.level) & np.isfinite(limit_s)
    for third in thirds:
        enough &= np.isfinite(third).sum(axis=0) >= LEAST_PER_THIRD
    risk = np.zeros(logs.shape[1])
    if not enough.any():
        return risk
    first, middle, last = (np.nanmedian(third[:, enough], axis=0) for third in thirds)
    growth = np.maximum(np.minimum(middle - first, last - middle), 0.0)
    ends = last + growth * rule.horizon_s / (rule.recent_s / 3.0)
    level, spread = usual.level[enough], usual.spread[enough]
    way = np.maximum(np.log(limit_s[enough]) - level, LEAST_SPREAD)
    odd = last - level >= UNUSUAL * spread
    risk[enough] = np.where(odd, np.clip((ends - level) / way, 0.0, None), 0.0)
    return risk


def _logs(latency_s: Floats) -> Floats:
    # an answer that came at once took some time all the same
    return np.log(np.maximum(latency_s, 1e-6))


def _troubled(slots: Slots, rule: RiskRule) -> Bools:
    """Return where something was tried again, or the source was away the whole slot: an outage is one run."""
    return slots.retried | (slots.down_s >= 0.99 * rule.slot_s)


def _starts(marked: Bools) -> Bools:
    """Return where a run of marked slots begins."""
    began = marked.copy()
    began[1:] &= ~marked[:-1]
    return began


def _gap_sums(unread_s: Floats) -> tuple[Floats, Floats]:
    """Return per source the sum of its gaps' lengths, and of their squares."""
    sources = unread_s.shape[1]
    marked = unread_s > 0
    if not marked.any():
        return np.zeros(sources), np.zeros(sources)
    # number the gaps of all sources one after the other, and add up what belongs to each
    numbers = np.cumsum(_starts(marked).T.ravel()) - 1
    chosen = marked.T.ravel()
    lengths = np.bincount(numbers[chosen], weights=unread_s.T.ravel()[chosen])
    owner = np.repeat(np.arange(sources), _starts(marked).sum(axis=0))
    sums, squares = (
        np.bincount(owner, weights=each, minlength=sources).astype(np.float64) for each in (lengths, lengths**2)
    )
    return sums, squares
