"""What the tests of the collector share: a plant of four sensors, batches of it, and waiting for a condition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from resources.core.clock import ManualClock, to_micros
from resources.core.readings import ReadingBatch, readings_batch
from resources.core.tags import Sensor, SensorCatalog

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CATALOG = SensorCatalog([Sensor(f"b1.s{n}", "bar", "boilers") for n in range(3)] + [Sensor("f1.t", "Cel", "furnace")])


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # what is waited for happens in other threads and processes
            await asyncio.sleep(0.005)


def batch_of(
    clock: ManualClock, rows: int = 1, *, source: str = "boilers", acknowledge: Callable[[], None] | None = None
) -> ReadingBatch:
    """A batch of `rows` readings, a microsecond apart, up to now."""
    now_us, key = to_micros(clock.now()), 0 if source == "boilers" else 3
    readings = readings_batch([now_us - n for n in range(rows)], [key] * rows, [1.0] * rows, 0, now_us)
    return ReadingBatch(source, readings=readings, acknowledge=acknowledge)
