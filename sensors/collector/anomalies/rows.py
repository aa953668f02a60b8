"""The latest rows of one equipment: sums that readings are added to as they arrive, late ones to their own row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class LatestRows:
    """Rows of a grid that begins with 1970, the newest `most` of them."""

    def __init__(self, sensors: int, *, step_us: int, most: int, now_us: int) -> None:
        """Begin with empty rows up to `now_us`."""
        self.step_us = step_us
        self._sums = np.zeros((most, sensors))
        self._counts = np.zeros((most, sensors))
        self._end = now_us // step_us + 1
        """Number of the first row that is not there yet; numbers count from 1970."""

    def move_to(self, now_us: int) -> None:
        """Make room up to the row that `now_us` lies in; the oldest rows go."""
        moved = min(now_us // self.step_us + 1 - self._end, len(self._sums))
        if moved <= 0:
            return
        self._end = now_us // self.step_us + 1
        for table in (self._sums, self._counts):
            table[: len(table) - moved] = table[moved:].copy()
            table[len(table) - moved :] = 0.0

    def add(self, time_us: Ints, place: Ints, value: Floats) -> int:
        """Add readings, and return how many were too old, or lie in the future, and were left out."""
        row = time_us // self.step_us - (self._end - len(self._sums))
        fits = (row >= 0) & (row < len(self._sums))
        cells = row[fits] * self._sums.shape[1] + place[fits]
        self._sums += np.bincount(cells, weights=value[fits], minlength=self._sums.size).reshape(self._sums.shape)
        self._counts += np.bincount(cells, minlength=self._counts.size).reshape(self._counts.shape)
        return int(len(fits) - np.count_nonzero(fits))

    def means(self, first: int, end: int) -> Floats:
        """Return the mean of each sensor in rows `[first, end)`, numbered from 1970; NaN where there is none."""
        offset = self._end - len(self._sums)
        found = np.full((max(end - first, 0), self._sums.shape[1]), np.nan)
        begin, stop = max(first, offset), min(end, self._end)
        if begin < stop:
            own = slice(begin - offset, stop - offset)
            target = found[begin - first : stop - first]
            np.divide(self._sums[own], self._counts[own], out=target, where=self._counts[own] > 0)
        return found
