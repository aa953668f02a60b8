"""Score: how good a reading is, 0 to 100, in four dimensions that add up.

| dimension | weight | is whole, and what it loses |
|---|---|---|
| validity | 40 | status good; a quarter of it if uncertain, nothing if bad or if a rule of validity is broken |
| completeness | 30 | there is a value, and its source does not call it bad; else nothing |
| consistency | 20 | half of it is lost with each broken rule of consistency |
| uniqueness | 10 | no other value came for the same sensor and time; else nothing |

A good reading without defect has 100; with each further defect the score falls, or stays where it has nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, reduce

import numpy as np
import numpy.typing as npt

from gl_assets.transforms.pipeline.findings import Broken
from gl_assets.transforms.quality import level_codes
from resources.core.readings import Status
from resources.core.rules import BIT, RULES, Rule

WEIGHTS = np.array([40.0, 30.0, 20.0, 10.0])
"""Of validity, completeness, consistency, uniqueness; in this order everywhere."""

CONSISTENCY: tuple[Rule, ...] = ("future", "too_old", "rate_of_change", "flat_line", "out_of_order")
"""Rules that take from consistency."""

UNIQUENESS: tuple[Rule, ...] = ("duplicate",)
"""Rules that take uniqueness."""

VALIDITY: tuple[Rule, ...] = tuple(rule for rule in RULES if rule not in (*CONSISTENCY, *UNIQUENESS))
"""Rules that take validity: all others."""

BY_STATUS = {Status.GOOD: 1.0, Status.UNCERTAIN: 0.25, Status.BAD: 0.0}
"""Validity by status, where no rule is broken."""

Codes = npt.NDArray[np.int32]


def codes_of(status: npt.NDArray[np.uint8], broken: Broken) -> Codes:
    """Return one number per reading that says all its score depends on: broken rules above, status below."""
    codes: Codes = broken.astype(np.int32)
    codes <<= 2
    codes |= status
    return codes


def dimensions(codes: Codes) -> npt.NDArray[np.float64]:
    """Return the four dimensions, each 0 to 1, of every code: one row per code."""
    broken, status = codes >> 2, codes & 3
    by_status = np.array([BY_STATUS[found] for found in Status] + [0.0])
    invalid = (broken & _mask(VALIDITY)) != 0
    failed = sum(((broken & BIT[rule]) != 0).astype(np.float64) for rule in CONSISTENCY)
    return np.stack(
        [
            np.where(invalid, 0.0, by_status[status]),
            (status < Status.BAD).astype(np.float64),
            np.maximum(1.0 - 0.5 * failed, 0.0),
            ((broken & _mask(UNIQUENESS)) == 0).astype(np.float64),
        ],
        axis=-1,
    )


def scores_of(codes: Codes) -> npt.NDArray[np.float32]:
    """Return the score of every code."""
    return _tables()[0][codes]


def levels_of(codes: Codes) -> npt.NDArray[np.int8]:
    """Return for every code the position of its level in `quality.LEVEL_NAMES`."""
    return _tables()[1][codes]


@lru_cache(maxsize=1)
def _tables() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    # every combination of rules and status: 32,768 of them, quicker looked up than calculated for each row
    codes = np.arange(1 << (len(RULES) + 2), dtype=np.int32)
    scores = (dimensions(codes) @ WEIGHTS).astype(np.float32)
    return scores, level_codes(scores)


def _mask(rules: Iterable[Rule]) -> int:
    return reduce(int.__or__, (BIT[rule] for rule in rules))
