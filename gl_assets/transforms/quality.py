"""The levels that scores from 0 to 100 fall into; what a score is made of stands in `pipeline.score`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVELS: tuple[tuple[str, float], ...] = (
    ("EXCELLENT", 95.0),
    ("GOOD", 80.0),
    ("FAIR", 60.0),
    ("POOR", 40.0),
    ("INVALID", 0.0),
)
"""Level and its least score, best first."""

LEVEL_NAMES = tuple(name for name, _ in LEVELS)
"""The names, best first: position is the code that `level_codes` gives."""


def level_codes(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """Return for every score the position of its level in LEVEL_NAMES."""
    codes = np.full(len(scores), len(LEVELS) - 1, dtype=np.int8)
    for code in range(len(LEVELS) - 2, -1, -1):
        codes[scores >= LEVELS[code][1]] = code
    return codes


def quality_level(score: float) -> str:
    """Return the level of one score."""
    return next((name for name, least in LEVELS if score >= least), LEVEL_NAMES[-1])
