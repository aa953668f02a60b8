"""How much of a window is rejected."""

from __future__ import annotations

import pyarrow as pa

from gl_assets.transforms.pipeline.reasons import REJECTED_SCHEMA
from gl_assets.transforms.pipeline.run import Refined, refine
from gl_assets.transforms.sensors import SensorTable


def judge(readings: pa.Table, sensors: SensorTable) -> Refined:
    """Return the readings of a window, refined without what is known beside them."""
    return refine(readings, REJECTED_SCHEMA.empty_table(), sensors)


def rejected_share(stored: int, rejected: int) -> float:
    """Return the share of rejected rows, 0 to 1; an empty window has none.

    Args:
        stored: Rows that can be stored, numbers and texts.
        rejected: Rejected rows, those the collector rejected included.
    """
    total = stored + rejected
    return rejected / total if total else 0.0
