"""Corrected readings of one window as contents that are stored like any other: judged, validated, merged.

They are stored under a name of their own (`resources.core.origins`), so that a later revision of the window leaves them
there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gl_assets.transforms.corrections.settle import Settled
from resources.core.clock import to_micros
from resources.core.readings import TIMESTAMP
from resources.window_buffer.contents import (
    BUFFERED_READINGS_SCHEMA,
    BUFFERED_REJECTS_SCHEMA,
    BUFFERED_TEXTS_SCHEMA,
    SENSORS_SCHEMA,
    WindowContents,
)


@dataclass(frozen=True, slots=True)
class CorrectedWindow:
    """A window that rows of a batch are corrected to."""

    collector: str
    """Name that corrections are stored under."""
    start: datetime
    end: datetime
    correction_id: int
    made_at: datetime
    """When the batch was made: the readings were received then, so of two values the corrected one counts."""

    def sequence(self, number: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the sequences of rows of the batch: the same row of the same batch always has the same one."""
        return (np.int64(self.correction_id) << 32) | number


def corrected_contents(
    rows: Settled, at: npt.NDArray[np.intp], window: CorrectedWindow, *, revision: int
) -> WindowContents:
    """Return rows of a batch as contents of their window, to be merged.

    Args:
        rows: The batch.
        at: Positions of the window's rows.
        window: Their window.
        revision: The revision that comes next under the name of corrections.
    """
    known: dict[tuple[str, str, str], int] = {}
    keys = [
        known.setdefault((rows.sensors[rows.sensor[row]], rows.unit[row], rows.source[row]), len(known))
        for row in at.tolist()
    ]
    key = np.array(keys, dtype=np.int32)
    order = np.lexsort((rows.time_us[at], key))
    at, key = at[order], key[order]
    is_text = rows.is_text[at]
    named = [pa.array(range(len(known)), pa.int32()), *(pa.array([n[i] for n in known], pa.string()) for i in range(3))]
    return WindowContents(
        collector=window.collector,
        window_start=window.start,
        window_end=window.end,
        revision=revision,
        sensors=pa.table(named, schema=SENSORS_SCHEMA),
        readings=_table(rows, at[~is_text], key[~is_text], window, texts=False),
        texts=_table(rows, at[is_text], key[is_text], window, texts=True),
        rejects=BUFFERED_REJECTS_SCHEMA.empty_table(),
        deduplicated={},
        complete=False,
        partial=False,
        expected_sources=(),
    )


def _table(
    rows: Settled, at: npt.NDArray[np.intp], key: npt.NDArray[np.int32], window: CorrectedWindow, *, texts: bool
) -> pa.Table:
    value: Any = (
        pa.array([rows.text[row] for row in at.tolist()], pa.string())
        if texts
        else pa.array(rows.value[at], mask=rows.is_null[at])
    )
    columns = [
        pa.array(rows.time_us[at]).view(TIMESTAMP),
        pa.array(key),
        value,
        pa.array(rows.status[at]),
        pa.array(np.full(len(at), to_micros(window.made_at))).view(TIMESTAMP),
        pa.array(window.sequence(rows.number[at])),
    ]
    return pa.table(columns, schema=BUFFERED_TEXTS_SCHEMA if texts else BUFFERED_READINGS_SCHEMA)
