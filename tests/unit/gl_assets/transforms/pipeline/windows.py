"""A window's readings in few words, and what the steps make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gl_assets.transforms.pipeline.neighbours import Before
from gl_assets.transforms.pipeline.run import Context, Refined, refine
from gl_assets.transforms.sensors import SensorTable, sensor_table
from resources.core.clock import to_micros
from resources.core.configuration.quality_rules import RulesConfig
from resources.core.configuration.settings import TagConfig
from resources.core.contradictions import OVERTAKEN
from resources.core.rules import BIT, RULES
from resources.window_buffer.contents import BUFFERED_REJECTS_SCHEMA
from tests.unit.gl_assets.transforms.window_contents import START, readings, sensors

START_US = to_micros(START)

NO_REJECTS = BUFFERED_REJECTS_SCHEMA.empty_table()

Row = tuple[int, int, float | None, int]
"""Sensor key, seconds after the window's start, value, status."""


def one_sensor(**rules: Any) -> SensorTable:
    """The sensor `t` of the source `opc`, key 7, in Cel, with these keys of its tag."""
    config = rules.pop("config", None)
    tag = TagConfig(sensor_id="t", unit="Cel", **rules)
    return sensor_table(sensors([(7, "t", "Cel", "opc")]), {"t": tag}, config)


def series(values: Sequence[float | None], *, every: int = 1, status: int = 0) -> list[Row]:
    return [(7, every * n, value, status) for n, value in enumerate(values)]


def refined(table: SensorTable, rows: Sequence[Row], **changes: Any) -> Refined:
    context = {name: changes.pop(name) for name in ("before", "history", "calibrations") if name in changes}
    rejects = changes.pop("rejects", NO_REJECTS)
    return refine(readings(rows, **changes), rejects, table, Context(**context))


def before(value: float, *, seconds: float, since: float | None = None) -> Before:
    """What one sensor's last reading was, so many seconds before the window; the same since ..."""
    last = START_US - int(1e6 * seconds)
    begun = last if since is None else START_US - int(1e6 * since)
    return Before(np.array([last]), np.array([value]), np.array([begun]))


def defects(result: Refined) -> list[list[str]]:
    """Rules that each row of the table breaks."""
    return [[rule for rule in RULES if found & BIT[rule]] for found in result.defects.tolist()]


def broken_rule(result: Refined, rule: str) -> list[float]:
    """Values of the rows of the table that break a rule."""
    return [value for value, found in zip(result.good.value.tolist(), defects(result), strict=True) if rule in found]


def reasons(result: Refined) -> list[list[str]]:
    return [row["reasons"] for row in result.rejected.to_pylist()]


def overtaken(sensor_id: str, second: int) -> pa.Table:
    """What the buffer keeps of a reading whose sensor and time came again with another value."""
    row = {
        "time": START_US + 1_000_000 * second,
        "sensor_id": sensor_id,
        "source": "opc",
        "raw": "{}",
        "reasons": [OVERTAKEN],
        "received_at": START_US,
        "sequence": 1,
    }
    columns = [pa.array([row[f.name]], pa.int64()).cast(f.type) if pa.types.is_timestamp(f.type) else pa.array([row[f.name]], f.type) for f in BUFFERED_REJECTS_SCHEMA]  # fmt: skip
    return pa.table(columns, schema=BUFFERED_REJECTS_SCHEMA)


def rules(**changes: Any) -> RulesConfig:
    return RulesConfig(**changes)
