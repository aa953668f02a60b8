"""Numbers as answers carry them."""

from __future__ import annotations

import math
from typing import Any

_SAFE = 1e300
"""Values up to here can be summed by the million."""


def number(value: Any) -> float | None:
    """Return `value` as a finite float; None if it is no number (a bool is none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def weighted_mean(values: list[float], weights: list[float]) -> float:
    """Return the mean of `values`, each by its share of the weights; between the least and the greatest value.

    Args:
        values: At least one.
        weights: As many; none negative, not all 0.
    """
    largest = max(map(abs, values))
    # the sum of values near the end of a double's range would leave it, though their mean does not
    scale = largest if largest > _SAFE else 1.0
    terms = (value / scale * weight for value, weight in zip(values, weights, strict=True))
    mean = math.fsum(terms) / math.fsum(weights) * scale
    return min(max(mean, min(values)), max(values))
