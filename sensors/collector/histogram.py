"""A histogram that takes whole arrays: observing readings one by one would cost more than receiving them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class ArrayHistogram:
    """Counts of observations per bucket, and their sum; one writer, any number of readers."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Count into buckets whose upper bounds, inclusive and ascending, are `bounds`, and one beyond the last."""
        self._bounds = np.asarray(bounds, dtype=np.float64)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0

    def observe(self, values: npt.ArrayLike) -> None:
        """Count all of `values`."""
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
        where = np.searchsorted(self._bounds, array, side="left")
        self._counts += np.bincount(where, minlength=len(self._counts))
        self._sum += float(array.sum())

    @property
    def count(self) -> int:
        """How many values were observed."""
        return int(self._counts.sum())

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """Return (upper bound as text, values up to it) for every bucket, `+Inf` last, and the sum of the values."""
        names = [f"{bound:g}" for bound in self._bounds] + ["+Inf"]
        return list(zip(names, np.cumsum(self._counts).astype(float).tolist(), strict=True)), self._sum
