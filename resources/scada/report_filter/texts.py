"""Texts as numbers, so that the filter of numbers does for them: equal texts have equal numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from resources.scada.report_filter.rules import Floats

MOST_TEXTS = 10_000
"""Texts remembered before those that no sensor has any more are forgotten: a source must not fill our memory."""


class TextNumbers:
    """Numbers texts in the order in which they come."""

    def __init__(self) -> None:
        """Know no text."""
        self._numbers: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._next = 0

    def numbers(self, texts: pa.Array) -> Floats:
        """Return one number per text; NaN for a missing one."""
        coded = texts.dictionary_encode()
        known = np.array([self._number(text) for text in coded.dictionary.to_pylist()] or [0.0])
        found: Floats = known[coded.indices.fill_null(0).to_numpy()]
        return np.where(texts.is_null().to_numpy(zero_copy_only=False), np.nan, found)

    def texts(self, numbers: Floats) -> pa.Array:
        """Return the texts of `numbers`."""
        return pa.array([self._texts[int(number)] for number in numbers.tolist()], pa.string())

    def keep_only(self, numbers: Floats) -> None:
        """Forget all other texts, if there are many."""
        if len(self._texts) > MOST_TEXTS:
            wanted = set(numbers[np.isfinite(numbers)].astype(np.int64).tolist())
            self._texts = {number: text for number, text in self._texts.items() if number in wanted}
            self._numbers = {text: number for number, text in self._texts.items()}

    def _number(self, text: str) -> float:
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = self._next
            self._texts[number] = text
            self._next += 1
        return float(number)
