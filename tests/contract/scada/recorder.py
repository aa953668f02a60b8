"""The driver's side of a connector in tests: takes batches, keeps what it is told, acknowledges when asked to."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from resources.core.clock import to_micros
from resources.core.readings import STATUS_NAMES, ReadingBatch
from resources.core.tags import SensorCatalog
from resources.scada.connector import ScadaClient

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Row:
    sensor_id: str
    time_us: int
    value: float | None
    status: str
    only_if_newer: bool


@dataclass
class Recorder:
    """`durable`: acknowledge each batch at once; otherwise the acknowledgements wait in `owed`."""

    catalog: SensorCatalog
    durable: bool = True
    batches: list[ReadingBatch] = field(default_factory=list)
    owed: list[Callable[[], None]] = field(default_factory=list)
    facts: list[Mapping[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    gaps: list[tuple[datetime, datetime, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    open_gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open_gate.set()

    async def emit(self, batch: ReadingBatch) -> None:
        self.batches.append(batch)
        if batch.acknowledge is not None:
            if self.durable:
                batch.acknowledge()
            else:
                self.owed.append(batch.acknowledge)
        await self.open_gate.wait()

    def connected(self, facts: Mapping[str, str], *, unbroken: bool = False) -> None:
        self.facts.append({**facts, "unbroken": str(unbroken)})

    def item_failed(self, sensor_id: str, reason: str) -> None:
        self.failed.append((sensor_id, reason))

    def item_recovered(self, sensor_id: str) -> None:
        self.recovered.append(sensor_id)

    def missed(self, since: datetime, until: datetime, reason: str) -> None:
        self.gaps.append((since, until, reason))

    def counted(self, **increments: int) -> None:
        self.counts.update(increments)

    def rows(self) -> list[Row]:
        found = []
        for batch in self.batches:
            if batch.readings is None:
                continue
            columns = batch.readings.to_pydict()
            for at, key, value, status in zip(
                columns["time"], columns["sensor_key"], columns["value"], columns["status"], strict=True
            ):
                sensor = self.catalog.sensors[key].sensor_id
                found.append(Row(sensor, to_micros(at), value, STATUS_NAMES[status], batch.only_if_newer))
        return found

    def rejects(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches if batch.rejects is not None for row in batch.rejects.to_pylist()]

    def has(self, sensor_id: str, time_us: int, value: float) -> bool:
        return any(row.sensor_id == sensor_id and row.time_us == time_us and row.value == value for row in self.rows())


async def until(
    met: Callable[[], bool], what: str, task: asyncio.Task[None] | None = None, patience_s: float = PATIENCE_S
) -> None:
    """Wait for `met`; a task that ends before fails with its own error."""
    deadline = time.monotonic() + patience_s
    while not met():
        if task is not None and task.done():
            task.result()
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about in {patience_s:g} s")
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(client: ScadaClient, recorder: Recorder) -> AsyncIterator[asyncio.Task[None]]:
    """Run a connector until the block ends; wait until it is connected first."""
    before = len(recorder.facts)
    task = asyncio.create_task(client.run(recorder.emit, recorder))
    try:
        await until(lambda: len(recorder.facts) > before, "the connection", task)
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
