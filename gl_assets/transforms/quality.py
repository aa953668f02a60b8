"""How good a reading is: a score from 0 to 100 and the level it falls into.

The score starts from the status that the source gave (good 100, uncertain 60, bad 0) and loses 10 where the tag has no
range limits, since nothing then says that the value is plausible, and 10 where source time and receipt lie more than
a minute apart, since one of the two clocks or the way in between cannot be relied on. It never goes below 0.

A good reading within limits is EXCELLENT, any other good one GOOD; an uncertain one FAIR or POOR; a bad one INVALID.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

STATUS_SCORES = np.array([100, 60, 0], dtype=np.float32)
"""Score by status code, before deductions."""

NO_LIMITS = np.float32(10)
"""Deducted where the tag has neither minimum nor maximum."""

LATE = np.float32(10)
"""Deducted where source time and receipt lie more than LATE_US apart."""

LATE_US = 60_000_000
"""One minute."""

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


def quality_scores(
    status: npt.NDArray[np.uint8], has_limits: npt.NDArray[np.bool_], delay_us: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the score of every reading.

    Args:
        status: Status codes.
        has_limits: Whether the reading's tag has limits.
        delay_us: Receipt minus source time, microseconds.
    """
    table = np.stack([np.maximum(STATUS_SCORES - NO_LIMITS, 0), STATUS_SCORES])
    scores = table[has_limits.view(np.uint8), status]
    late = np.abs(delay_us) > LATE_US
    if late.any():
        scores[late] = np.maximum(scores[late] - LATE, 0)
    return scores


def level_codes(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """Return for every score the position of its level in LEVEL_NAMES."""
    # few different scores occur, but they are not known here: five comparisons are as quick as any search
    codes = np.full(len(scores), len(LEVELS) - 1, dtype=np.int8)
    for code in range(len(LEVELS) - 2, -1, -1):
        codes[scores >= LEVELS[code][1]] = code
    return codes


def quality_level(score: float) -> str:
    """Return the level of one score."""
    return next((name for name, least in LEVELS if score >= least), LEVEL_NAMES[-1])
