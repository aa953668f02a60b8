"""Which answers are the same, numbers within a tolerance.

A result is taken apart into its shape (everything but the numbers) and its numbers; two results agree when their
shapes are equal and no number differs by more than the tolerance. 1 and 1.0 are the same, true and 1 are not.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.agents.aggregation.numbers import number

Floats = NDArray[np.float64]

_BLOCK = 1 << 22
"""Numbers compared at once: 32 MiB."""


def take_apart(value: Any) -> tuple[Hashable, tuple[float, ...]]:
    """Return the shape of a JSON value, and its numbers in the order of the shape."""
    numbers: list[float] = []
    return _shape(value, numbers), tuple(numbers)


def neighbours(numbers: Floats, tolerance: float, relative: float, weights: Floats) -> tuple[Floats, Floats]:
    """Return for each row the weight of the rows that agree with it, and the sum of its distances to them.

    Args:
        numbers: One row per answer of one shape, one column per number.
        tolerance: Largest difference.
        relative: Largest difference as a share of the larger number.
        weights: One per row.
    """
    rows, columns = numbers.shape
    support, distance = np.empty(rows), np.empty(rows)
    step = max(1, _BLOCK // max(1, rows * columns))
    with np.errstate(over="ignore"):  # a difference beyond a double's range is infinite, and so beyond any tolerance
        for start in range(0, rows, step):
            block = numbers[start : start + step, None, :]
            apart = np.abs(block - numbers[None, :, :])
            agree = (apart <= _allowed(block, numbers[None, :, :], tolerance, relative)).all(axis=2)
            support[start : start + step] = agree @ weights
            distance[start : start + step] = np.where(agree, apart.sum(axis=2), 0.0).sum(axis=1)
    return support, distance


def agreeing(numbers: Floats, row: int, tolerance: float, relative: float) -> NDArray[np.bool_]:
    """Return which rows agree with one of them."""
    centre = numbers[row]
    with np.errstate(over="ignore"):
        close = np.abs(numbers - centre) <= _allowed(numbers, centre, tolerance, relative)
    return np.asarray(close.all(axis=1))


def remoteness(numbers: Floats) -> Floats:
    """Return for each row the sum of its distances to all others, each column as a share of its spread."""
    rows = len(numbers)
    total = np.zeros(rows)
    for column in numbers.T:
        scaled = column / max(1.0, float(np.abs(column).max()))
        order = np.argsort(scaled, kind="stable")
        ascending = scaled[order] - scaled[order[0]]
        if ascending[-1] > 0:
            below = np.cumsum(ascending)
            ranks = np.arange(1, rows + 1)
            # to the left: rank times itself less their sum; to the right: their sum less the others times itself
            total[order] += (ascending * (2 * ranks - rows) - 2 * below + below[-1]) / ascending[-1]
    return total


def spreads(numbers: Floats) -> Floats:
    """Return for each column how far its least and its greatest number are apart."""
    with np.errstate(over="ignore"):
        return np.asarray(numbers.max(axis=0) - numbers.min(axis=0))


def as_rows(numbers: Sequence[tuple[float, ...]]) -> Floats:
    """Return numbers of one shape as an array, one row per answer; there is at least one."""
    return np.array(numbers, dtype=np.float64).reshape(len(numbers), len(numbers[0]))


def _allowed(left: Floats, right: Floats, tolerance: float, relative: float) -> Floats | float:
    if not relative:
        return tolerance
    return np.maximum(tolerance, relative * np.maximum(np.abs(left), np.abs(right)))


def _shape(value: Any, numbers: list[float]) -> Hashable:
    if isinstance(value, dict):
        return "object", tuple((key, _shape(value[key], numbers)) for key in sorted(value))
    if isinstance(value, list | tuple):
        return "array", tuple(_shape(item, numbers) for item in value)
    found = number(value)
    if found is None:
        # a number that is not finite has no distance to others: it is the same as itself, by its text
        return type(value).__name__, repr(value)
    numbers.append(found)
    return "number"
