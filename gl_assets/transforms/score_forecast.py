"""The next day's quality score from those of the days before: three models, the best one by its own past, an interval.

- **last**: the same as the last day. The naive model that the others are measured against.
- **trend**: a straight line through the last HISTORY_DAYS days, by the median of all slopes (Theil and Sen) and the
  median of what is left: a bad day bends it little.
- **season**: the trend, and what each day of the week lies above or below it, shrunk by one day's worth: an effect
  seen once counts half.

Each is tested on the days that are known: every one of the last TESTED_DAYS is forecast from the days before it. The
simplest model whose mean absolute error is within TOLERANCE of the least is taken. The interval is the forecast and
the COVERAGE quantile of its absolute errors in that test, of n errors the one at rank (n + 1) COVERAGE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Days = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HISTORY_DAYS = 28
"""Days that a model looks back on: four of each day of the week."""

TESTED_DAYS = 28
"""Most days that the models are tested on."""

LEAST_DAYS = {"last": 1, "trend": 4, "season": 14}
"""Days that a model needs; simplest first."""

TOLERANCE = 0.05
"""By how much the error of a simpler model may be greater than the least one."""

COVERAGE = 0.9
"""Share of days that should fall into their interval."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the next day's score will be; scores are 0 to 100."""

    day: int
    """Ordinal of the day, as `datetime.date.toordinal` has it."""
    score: float
    lower: float
    upper: float
    """The interval; 0 to 100 where nothing could be tested."""
    model: str
    days: int
    """Days that it was made from."""
    tested: int
    """Days that it was tested on."""
    error: float | None
    """Mean absolute error of the model on those; None if there are none."""
    naive_error: float | None
    """The same of the naive model, on the same days."""


def forecast(days: Days, scores: Floats) -> Forecast:
    """Return the forecast of the day after the last one.

    Args:
        days: Ordinals of the days that are known, ascending; days may be missing.
        scores: Their scores, at least one.
    """
    errors = {name: _tested(model, days, scores, LEAST_DAYS[name]) for name, model in MODELS.items()}
    name = _best(errors)
    own, tested = np.abs(errors[name]), len(errors[name])
    target = int(days[-1]) + 1
    value = MODELS[name](days, scores, target)
    reach = _reach(own)
    return Forecast(
        day=target,
        score=value,
        lower=max(0.0, value - reach),
        upper=min(100.0, value + reach),
        model=name,
        days=len(days),
        tested=tested,
        error=float(own.mean()) if tested else None,
        naive_error=float(np.abs(errors["last"][-tested:]).mean()) if tested else None,
    )


def last(days: Days, scores: Floats, target: int) -> float:
    """Return the last day's score."""
    del days, target
    return float(scores[-1])


def trend(days: Days, scores: Floats, target: int) -> float:
    """Return where the straight line is on the target day, within 0 and 100."""
    slope, level = _line(days[-HISTORY_DAYS:], scores[-HISTORY_DAYS:])
    return float(np.clip(level + slope * target, 0.0, 100.0))


def season(days: Days, scores: Floats, target: int) -> float:
    """Return where the line and the effect of the day of the week are on the target day, within 0 and 100."""
    days, scores = days[-HISTORY_DAYS:], scores[-HISTORY_DAYS:]
    slope, level = _line(days, scores)
    same = days % 7 == target % 7
    left = (scores - level - slope * days)[same]
    effect = left.sum() / (len(left) + 1)
    return float(np.clip(level + slope * target + effect, 0.0, 100.0))


MODELS: dict[str, Callable[[Days, Floats, int], float]] = {"last": last, "trend": trend, "season": season}
"""Name -> model, simplest first."""


def _line(days: Days, scores: Floats) -> tuple[float, float]:
    """Return slope and intercept."""
    first, second = np.triu_indices(len(days), 1)
    slope = float(np.median((scores[second] - scores[first]) / (days[second] - days[first])))
    return slope, float(np.median(scores - slope * days))


def _tested(model: Callable[[Days, Floats, int], float], days: Days, scores: Floats, least: int) -> Floats:
    """Return forecast less score of the days that can be forecast from those before them, at most TESTED_DAYS."""
    first = max(least, len(days) - TESTED_DAYS)
    return np.array(
        [model(days[:n], scores[:n], int(days[n])) - scores[n] for n in range(first, len(days))], dtype=np.float64
    )


def _best(errors: dict[str, Floats]) -> str:
    """Return the simplest model that is about as good as the best; one that could not be tested is none."""
    common = {name: len(found) for name, found in errors.items() if len(found)}
    if not common:
        return "last"
    # on the days that all of them were tested on: quiet days would flatter whoever has more of them
    shared = min(common.values())
    means = {name: float(np.abs(errors[name][-shared:]).mean()) for name in common}
    least = min(means.values())
    return next(name for name, mean in means.items() if mean <= (1.0 + TOLERANCE) * least)


def _reach(errors: Floats) -> float:
    """Return how far the score may be off; without errors to judge by, anywhere."""
    if not len(errors):
        return 100.0
    rank = int(np.ceil((len(errors) + 1) * COVERAGE))
    return float(np.sort(errors)[min(rank, len(errors)) - 1])
