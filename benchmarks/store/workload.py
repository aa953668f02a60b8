"""The workload of `gl bench store`: 1,000 sensors, a reading a second each, in order of arrival, in a real buffer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.core.clock import ManualClock, to_micros
from resources.core.readings import ReadingBatch, Status, readings_batch
from resources.integrations import Integrations
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.contents import WindowContents
from resources.window_buffer.reader import BufferReader

SENSORS = 1_000
SECONDS = 1_000
BAD_SHARE = 0.001
"""Share of readings that are rejected: NaN with status good."""

START = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
"""First source time; whole windows from here."""

WINDOW = timedelta(minutes=5)
SOURCES = ("modbus_1", "modbus_2", "modbus_3", "modbus_4")


def sensor_id(number: int) -> str:
    """Return the name of a sensor; all are of one length, as the layouts compared write them."""
    return f"plant/boiler_{number % 4}/sensor_{number:04d}"


def make_config() -> Integrations:
    """Return a configuration of 1,000 Modbus tags with limits and a canonical unit."""
    per_source = SENSORS // len(SOURCES)
    sources = {
        source: {
            "kind": "modbus",
            "host": "localhost",
            "tags": [
                {
                    "sensor_id": sensor_id(number),
                    "unit": "Cel",
                    "canonical_unit": "K",
                    "minimum": -100,
                    "maximum": 1000,
                    "address": 2 * (number % per_source),
                }
                for number in range(n * per_source, (n + 1) * per_source)
            ],
        }
        for n, source in enumerate(SOURCES)
    }
    return Integrations.model_validate({"site": "bench", "start": START, "window": "5m", "sources": sources})


def second(config: Integrations, at: int, rng: np.random.Generator) -> Iterator[ReadingBatch]:
    """Yield what arrives in second `at`: one batch per source, one reading per sensor."""
    catalog = config.catalog()
    time_us = to_micros(START) + at * 1_000_000
    for source in SOURCES:
        keys = np.fromiter(catalog.of_source(source).values(), dtype=np.int32)
        values = rng.normal(400.0, 25.0, len(keys))
        values[rng.random(len(keys)) < BAD_SHARE] = np.nan
        readings = readings_batch(np.full(len(keys), time_us), keys, values, Status.GOOD, time_us + 50_000)
        yield ReadingBatch(source, readings=readings)


@dataclass(frozen=True, slots=True)
class Workload:
    """The filled buffer."""

    config: Integrations
    reader: BufferReader
    window_starts: tuple[datetime, ...]
    readings: int


@contextmanager
def filled_buffer(folder: Path) -> Iterator[Workload]:
    """Yield a closed buffer in `folder` that holds the whole workload."""
    config, rng = make_config(), np.random.default_rng(7)
    clock = ManualClock(START)
    buffer = WindowBuffer(
        folder,
        collector=config.collector.name,
        grid=config.grid,
        start=START,
        catalog=config.catalog(),
        clock=clock,
    )
    for at in range(SECONDS):
        for batch in second(config, at, rng):
            buffer.append(batch)
        clock.advance(1)
        if at % 10 == 9:
            buffer.commit()
    buffer.close_all()
    buffer.close()
    reader = BufferReader(folder)
    held = [window for window in reader.windows() if window.rows]
    yield Workload(config, reader, tuple(w.window_start for w in held), sum(w.rows for w in held))


def every_value_changed(contents: WindowContents, by: float) -> WindowContents:
    """Return the next revision of a window in which no reading has the value it had: the hardest replacement."""
    return _with_values(contents, pc.add(contents.readings.column("value"), by))


def some_values_changed(contents: WindowContents, by: float) -> WindowContents:
    """Return the next revision of a window in which one reading in a hundred has another value, as late data has it."""
    late = pa.array(np.arange(contents.readings.num_rows) % 100 == 0)
    value = contents.readings.column("value")
    return _with_values(contents, pc.if_else(late, pc.add(value, by), value))


def _with_values(contents: WindowContents, values: pa.ChunkedArray) -> WindowContents:
    column = contents.readings.schema.get_field_index("value")
    readings = contents.readings.set_column(column, contents.readings.schema.field(column), values)
    return replace(contents, readings=readings)
