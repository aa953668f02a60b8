"""The buffer's own numbers for sensors: stable over restarts and configurations, with their last known times."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from resources.core.tags import SensorCatalog
from resources.window_buffer.disk.columns import Int32s, Int64s
from resources.window_buffer.disk.index import Index
from resources.window_buffer.judging.rejects import SensorNames

NEVER = np.iinfo(np.int64).min
"""Last known time of a sensor that never had a reading."""


class Sensors:
    """Every (sensor_id, unit, source) that this buffer ever took; a changed unit makes another number."""

    def __init__(self, index: Index) -> None:
        """Load them."""
        self._index = index
        rows = index.all("SELECT key, sensor_id, unit, source FROM sensors ORDER BY key")
        self._rows: dict[int, tuple[str, str, str]] = {key: (i, u, s) for key, i, u, s in rows}
        saved = np.frombuffer(index.meta("last_known", b""), np.int64)
        self.last_known: Int64s = np.full(self._size(), NEVER)
        """By key: the newest source time that became a reading."""
        self.last_known[: len(saved)] = saved[: self._size()]
        self.dirty = False
        self._tabulate()

    def _size(self) -> int:
        return max(self._rows, default=-1) + 1

    def _tabulate(self) -> None:
        size = self._size()
        table = [self._rows.get(key, ("", "", "")) for key in range(size)]
        self.sources = sorted({source for _, _, source in table})
        code = {source: n for n, source in enumerate(self.sources)}
        self.source_code: Int64s = np.array([code[source] for _, _, source in table], np.int64)
        """By key: position in `sources`."""
        self.names = SensorNames(*(pa.array([row[n] for row in table], pa.string()) for n in range(3)))
        if len(self.last_known) < size:
            grown = np.full(size, NEVER)
            grown[: len(self.last_known)] = self.last_known
            self.last_known = grown

    def register(self, catalog: SensorCatalog) -> Int32s:
        """Return the buffer's number of each sensor of `catalog`; new ones are numbered durably.

        A sensor whose unit or source changed keeps its last known time: it is still the same instrument.
        """
        known = {row: key for key, row in self._rows.items()}
        wanted = [(s.sensor_id, s.unit, s.source) for s in catalog.sensors]
        new = [row for row in wanted if row not in known]
        first = self._size()
        self._add((first + n, *row) for n, row in enumerate(new))
        latest: dict[str, int] = {}
        for key, (sensor_id, _, _) in self._rows.items():
            latest[sensor_id] = max(latest.get(sensor_id, NEVER), int(self.last_known[key]))
        known = {row: key for key, row in self._rows.items()}
        keys = np.array([known[row] for row in wanted], np.int32)
        for key, (sensor_id, _, _) in zip(keys, wanted, strict=True):
            self.last_known[key] = latest[sensor_id]
        self.dirty = True
        return keys

    def learn(self, description: bytes) -> None:
        """Take over sensors that a segment describes and the index does not know (it was made anew)."""
        missing = [row for row in json.loads(description or b"[]") if row[0] not in self._rows]
        if missing:
            self._add(missing)

    def _add(self, rows: Iterable[Iterable[object]]) -> None:
        added = [tuple(row) for row in rows]
        with self._index.transaction():
            self._index.run_many("INSERT INTO sensors (key, sensor_id, unit, source) VALUES (?, ?, ?, ?)", added)
        for key, sensor_id, unit, source in added:
            self._rows[key] = (sensor_id, unit, source)  # type: ignore[index,assignment]
        self._tabulate()

    def describe(self, keys: Iterable[int]) -> bytes:
        """Return these sensors as a segment describes them: JSON list of [key, sensor_id, unit, source]."""
        return json.dumps([[int(key), *self._rows[int(key)]] for key in keys]).encode()

    def save(self) -> None:
        """Write the last known times, if they changed, into the running transaction."""
        if self.dirty:
            self._index.set_meta(last_known=self.last_known.tobytes())
            self.dirty = False
