"""The latest value of every sensor, in arrays: what `scada.latest_readings` shows, at most two seconds behind.

It is fed in the event loop with every batch and emptied by the thread that writes to the database. Holding only the
latest, it has no backlog: after an outage the live values are written at once, whatever the windows have to catch up.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.clock import Clock, to_micros
from resources.core.readings import ReadingBatch
from resources.core.tags import Sensor

FUTURE_LIMIT_US = 5 * 60 * 1_000_000
"""A reading further in the future than this is not shown: it would stand until the clock has caught up."""

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class LatestRows:
    """One row per sensor that has changed, aligned arrays."""

    sensor_keys: npt.NDArray[np.int64]
    """Position in the catalog."""
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    """NaN where there is no value."""
    statuses: npt.NDArray[np.uint8]
    texts: list[str | None]
    """None for numbers."""


class LiveView:
    """Latest time, value and status of each sensor of a catalog."""

    def __init__(self, sensors: Sequence[Sensor], *, clock: Clock) -> None:
        """Begin with nothing known of any of `sensors`."""
        self.sensors = tuple(sensors)
        count = len(sensors)
        self._clock = clock
        self._lock = threading.Lock()
        self._times = np.full(count, _NEVER, dtype=np.int64)
        self._values = np.full(count, np.nan)
        self._statuses = np.zeros(count, dtype=np.uint8)
        self._texts = np.full(count, None, dtype=object)
        self._dirty = np.zeros(count, dtype=np.bool_)

    def __len__(self) -> int:
        """Return how many sensors there are."""
        return len(self._times)

    def offer(self, batch: ReadingBatch) -> None:
        """Take what is newer than what is known; of equal times the later arrival."""
        limit = to_micros(self._clock.now()) + FUTURE_LIMIT_US
        for part in (batch.readings, batch.texts):
            if part is not None and part.num_rows:
                self._take(part, limit)

    def take_changed(self) -> LatestRows:
        """Return what has changed since the last call."""
        with self._lock:
            keys = np.flatnonzero(self._dirty)
            self._dirty[keys] = False
            return LatestRows(
                keys, self._times[keys], self._values[keys], self._statuses[keys], self._texts[keys].tolist()
            )

    def put_back(self, rows: LatestRows) -> None:
        """Note that `rows` could not be written: what is known of these sensors then goes with the next call."""
        with self._lock:
            self._dirty[rows.sensor_keys] = True

    def _take(self, part: pa.RecordBatch, limit_us: int) -> None:
        times = part.column("time").view(pa.int64()).to_numpy()
        keys = part.column("sensor_key").to_numpy()
        order = np.argsort(times, kind="stable")
        order = order[: np.searchsorted(times, limit_us, side="right", sorter=order)]
        # newest first, of equal times the later arrival first: the first row of each sensor is its latest
        order = order[::-1]
        order = order[np.unique(keys[order], return_index=True)[1]]
        order = order[times[order] >= self._times[keys[order]]]
        if not len(order):
            return
        values, where = part.column("value"), keys[order]
        is_text = pa.types.is_string(values.type)
        with self._lock:
            self._times[where] = times[order]
            self._statuses[where] = part.column("status").to_numpy()[order]
            if is_text:
                self._texts[where] = np.asarray(values.to_pylist(), dtype=object)[order]
            else:
                self._values[where] = values.to_numpy(zero_copy_only=False)[order]
            self._dirty[where] = True
