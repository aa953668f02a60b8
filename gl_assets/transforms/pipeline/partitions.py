"""How good a whole partition is, of each source and of all: the readings' four dimensions, and what is not there.

Over the readings of a source in a partition, each dimension 0 to 100 (`score` says what a reading has of it):

- validity: what the stored readings have of it, over stored and rejected ones; a rejected reading has nothing;
- completeness: likewise, over all that were expected where that is more: the polls of the tags that are polled, and one
  reading at least of a source;
- consistency: likewise, over stored and rejected ones;
- uniqueness: likewise, over stored and rejected ones and the repetitions that were left out. A rejected one counts.

The score weighs them as a reading's: 40, 30, 20, 10. Where nothing is and nothing was expected, nothing is wrong: 100.
Where something was expected and nothing is, all are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.pipeline.score import WEIGHTS, dimensions

WHOLE = ""
"""The source that stands for the whole partition."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a partition has of one source, counted."""

    stored: Mapping[int, int] = field(default_factory=dict)
    """Code of a reading (`score.codes_of`) -> stored readings."""
    rejected: int = 0
    repeated: int = 0
    """Readings left out because the same was already there."""
    expected: int = 0
    """Readings that should have come at least, as far as that can be told."""

    def plus(self, other: Tally) -> Tally:
        """Return both together."""
        stored = dict(self.stored)
        for code, count in other.stored.items():
            stored[code] = stored.get(code, 0) + count
        expected = max(self.expected, self._seen()) + max(other.expected, other._seen())
        return Tally(stored, self.rejected + other.rejected, self.repeated + other.repeated, expected)

    def _seen(self) -> int:
        return sum(self.stored.values()) + self.rejected


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The score of a partition and what it is made of, each 0 to 100."""

    rows: int
    validity: float
    completeness: float
    consistency: float
    uniqueness: float
    score: float


def partition_scores(tallies: Mapping[str, Tally]) -> dict[str, Dimensions]:
    """Return the scores of every source, and of all together under WHOLE."""
    whole = Tally()
    for tally in tallies.values():
        whole = whole.plus(tally)
    return {WHOLE: _dimensions(whole), **{source: _dimensions(tally) for source, tally in sorted(tallies.items())}}


def _dimensions(tally: Tally) -> Dimensions:
    rows = sum(tally.stored.values())
    seen = rows + tally.rejected
    if not seen and not tally.expected:
        return Dimensions(0, 100.0, 100.0, 100.0, 100.0, 100.0)
    codes = np.fromiter(tally.stored.keys(), dtype=np.int32, count=len(tally.stored))
    counts = np.fromiter(tally.stored.values(), dtype=np.float64, count=len(tally.stored))
    has = counts @ dimensions(codes)
    has[3] += tally.rejected
    of = np.array([seen, max(seen, tally.expected), seen, seen + tally.repeated], dtype=np.float64)
    shares = np.divide(has, of, out=np.zeros(4), where=of > 0)
    validity, completeness, consistency, uniqueness = (100 * shares).tolist()
    return Dimensions(rows, validity, completeness, consistency, uniqueness, float(shares @ WEIGHTS))


def count_codes(
    source_of: npt.NDArray[np.integer], codes: npt.NDArray[np.int32], names: tuple[str, ...]
) -> dict[str, dict[int, int]]:
    """Return source -> code -> readings.

    Args:
        source_of: Position of each reading's source in `names`.
        codes: Each reading's code.
        names: The sources.
    """
    total = np.bincount(source_of, minlength=len(names))
    # nearly every reading is good and without defect, code 0: only the others are sorted
    rows = np.flatnonzero(codes)
    keys, counts = np.unique(source_of[rows].astype(np.int64) << 32 | codes[rows], return_counts=True)
    found: dict[str, dict[int, int]] = {name: {} for name in names}
    rest = total.astype(np.int64)
    for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
        found[names[key >> 32]][key & 0xFFFFFFFF] = count
        rest[key >> 32] -= count
    for name, count in zip(names, rest.tolist(), strict=True):
        if count:
            found[name][0] = count
    return found


def rejected_share(stored: int, rejected: int) -> float:
    """Return the share of rejected rows, 0 to 1; an empty window has none.

    Args:
        stored: Rows that can be stored, numbers and texts.
        rejected: Rejected rows, those the collector rejected included.
    """
    total = stored + rejected
    return rejected / total if total else 0.0
