"""What is wrong with records, row by row, in plain words. Kept for the bad rows alone: the good ones cost nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

MOST_SHOWN = 40
"""Characters of a foreign value that a sentence shows."""


class Problems:
    """Sentences by row, in the order they were found."""

    def __init__(self, rows: int) -> None:
        """Begin with none."""
        self._sentences: dict[int, list[str]] = {}
        self._columns: dict[str, npt.NDArray[np.bool_]] = {}
        self._rows = rows

    def add(self, where: Any, sentence: str, *, column: str = "", shown: pa.Array | None = None) -> None:
        """Say a sentence of the rows where a mask is true; `{}` in it becomes the row's value of `shown`."""
        places = np.flatnonzero(_mask(where))
        if not places.size:
            return
        self._of(column)[places] = True
        sentences: Sequence[str] = [sentence] * len(places)
        if shown is not None:
            values = shown.take(pa.array(places)).to_pylist()
            sentences = [sentence.replace("{}", repr((value or "")[:MOST_SHOWN]), 1) for value in values]
        for place, said in zip(places.tolist(), sentences, strict=True):
            found = self._sentences.setdefault(place, [])
            if said not in found:  # two fields of one property
                found.append(said)

    def told(self, column: str) -> npt.NDArray[np.bool_]:
        """Return the rows in which something is said of a column."""
        return self._of(column)

    def by_column(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Return the same of every column that anything is said of."""
        return {name: mask for name, mask in self._columns.items() if name and mask.any()}

    def series(self) -> pd.Series:
        """Return the sentences of the rows that have any, by their number."""
        return pd.Series(self._sentences, dtype="object").sort_index()

    def _of(self, column: str) -> npt.NDArray[np.bool_]:
        return self._columns.setdefault(column, np.zeros(self._rows, bool))


def _mask(where: Any) -> npt.NDArray[np.bool_]:
    if isinstance(where, pa.Array | pa.ChunkedArray):
        return np.asarray(where.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
    return np.asarray(where, dtype=bool)
