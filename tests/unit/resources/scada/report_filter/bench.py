"""What the tests of the report filter share: a small catalog, batches in plain numbers, and what is kept of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from resources.core.configuration.settings import TagConfig
from resources.core.readings import ReadingBatch, readings_batch, texts_batch
from resources.core.tags import Sensor, SensorCatalog
from resources.scada.report_filter.filter import ReportFilter
from resources.scada.report_filter.rules import Frame

SECOND = 1_000_000
MINUTE = 60 * SECOND
START = 1_800_000_000 * SECOND
"""A full minute."""
FRAME = Frame(window=MINUTE, grace=5 * SECOND, start=START - 3600 * SECOND, future=5 * MINUTE)

Row = tuple[float, Any] | tuple[float, Any, int]
"""(seconds after START, value or None, status)."""


class Bench:
    """A filter of `sensors` tags with the same rule, one more without, and the rows it has kept."""

    def __init__(self, report: dict[str, Any], *, sensors: int = 1, frame: Frame = FRAME, **keys: Any) -> None:
        ids = [f"s{n}" for n in range(sensors)]
        common = {"unit": "bar", "report": report} | keys
        tags = {i: TagConfig.model_validate({"sensor_id": i} | common) for i in ids}
        tags["free"] = TagConfig(sensor_id="free", unit="bar")
        self.catalog = SensorCatalog(
            [Sensor(t.sensor_id, t.unit, "free" if i == "free" else "plc", t.is_text) for i, t in tags.items()]
        )
        self.is_text = bool(keys.get("data") == "text")
        self.filter = ReportFilter(tags, self.catalog, frame)
        self.left_out = self.suppressed = 0
        self.kept: list[tuple[int, float, Any, int]] = []
        """(sensor, seconds, value, status) in the order in which they were kept."""

    def send(self, *rows: Row, sensor: int = 0, delay_s: float = 0.1, first: bool = False) -> list[tuple[float, Any]]:
        """Apply a batch of one sensor; return (seconds, value) of what is kept now, by time."""
        return self.send_all([(sensor, *row) for row in rows], delay_s=delay_s, first=first)

    def send_all(
        self, rows: list[tuple[Any, ...]], *, delay_s: float = 0.1, first: bool = False
    ) -> list[tuple[float, Any]]:
        times = [START + round(row[1] * SECOND) for row in rows]
        values, keys = [row[2] for row in rows], [row[0] for row in rows]
        statuses = [row[3] if len(row) > 3 else 0 for row in rows]
        received = [time + round(delay_s * SECOND) for time in times]
        if self.is_text:
            batch = ReadingBatch("plc", texts=texts_batch(times, keys, values, statuses, max(received)))
        else:
            missing = np.array([value is None for value in values])
            numbers = [0.0 if value is None else value for value in values]
            part = readings_batch(times, keys, numbers, statuses, received, missing=missing if missing.any() else None)
            batch = ReadingBatch("plc", part)
        filtered = self.filter.apply(ReadingBatch("plc", batch.readings, batch.texts, only_if_newer=first))
        self.left_out += filtered.left_out
        self.suppressed += filtered.suppressed
        return self._note([*self.filter.let_go(), filtered.batch])

    def let_go(self) -> list[tuple[float, Any]]:
        """Return what the filter has let go since the last batch."""
        late = self.filter.let_go()
        self.left_out -= sum(batch.rows for batch in late)
        return self._note(late)

    def _note(self, batches: list[ReadingBatch]) -> list[tuple[float, Any]]:
        noted = []
        for batch in batches:
            part = batch.texts if self.is_text else batch.readings
            for row in part.to_pylist() if part is not None else ():
                seconds = (round(row["time"].timestamp() * SECOND) - START) / SECOND
                noted.append((seconds, row["value"]))
                self.kept.append((row["sensor_key"], seconds, row["value"], row["status"]))
        return sorted(noted, key=lambda row: row[0])
