"""Where the alarms stand in the pipeline: before everything that a batch may have to wait for."""

from __future__ import annotations

import asyncio

import pytest

from resources.core.clock import ManualClock
from resources.core.readings import ReadingBatch
from resources.window_buffer.buffer import WindowBuffer
from sensors.collector import pipeline as module
from sensors.collector.flow import Flow
from sensors.collector.pipeline import Pipeline
from tests.unit.sensors.collector.bench import batch_of, until


class Watch:
    """Keeps what it was shown; what it made of it is durable when `done` is set."""

    def __init__(self) -> None:
        self.seen: list[ReadingBatch] = []
        self.done = asyncio.Event()

    def watch(self, batch: ReadingBatch) -> None:
        self.seen.append(batch)

    async def durable(self) -> None:
        await self.done.wait()


def pipeline(buffer: WindowBuffer, clock: ManualClock, watch: Watch) -> Pipeline:
    return Pipeline(buffer, flow=Flow(("boilers",)), clock=clock, flush_interval_s=3600.0, alarms=watch)


async def test_emit_when_there_is_no_room_then_the_batch_is_judged_all_the_same_and_once(
    buffer: WindowBuffer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING_ROWS", 1)
    watch = Watch()
    watch.done.set()
    found = pipeline(buffer, clock, watch)
    await found.emit(batch_of(clock))
    waiting = asyncio.create_task(found.emit(batch_of(clock)))
    await until(lambda: len(watch.seen) == 2)
    assert not waiting.done()
    await found.commit()
    await waiting
    assert len(watch.seen) == 2
    found.shutdown()


async def test_commit_when_an_alarm_is_not_durable_yet_then_nothing_is_acknowledged(
    buffer: WindowBuffer, clock: ManualClock
) -> None:
    watch, acknowledged = Watch(), []
    found = pipeline(buffer, clock, watch)
    await found.emit(batch_of(clock, acknowledge=lambda: acknowledged.append(1)))
    committing = asyncio.create_task(found.commit())
    await until(lambda: "boilers" in buffer.counts())
    assert acknowledged == []
    watch.done.set()
    await committing
    assert acknowledged == [1]
    found.shutdown()
