"""The report filter inside the pipeline: what is counted, acknowledged, seen, and let go when something ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.core.clock import ManualClock, to_micros
from resources.core.configuration.settings import TagConfig
from resources.core.readings import ReadingBatch, readings_batch
from resources.scada.report_filter.filter import ReportFilter
from resources.scada.report_filter.rules import Frame
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.model import SourceCounts
from resources.window_buffer.reader import BufferReader
from sensors.collector.flow import Flow
from sensors.collector.pipeline import Pipeline
from tests.unit.sensors.collector.bench import CATALOG, NOON, batch_of

MINUTE = 60_000_000
DOOR = {"when": "swinging_door", "deviation": 0.5}


class Bench:
    def __init__(self, buffer: WindowBuffer, clock: ManualClock) -> None:
        self.buffer, self.clock = buffer, clock
        self.seen: list[ReadingBatch] = []
        tags = {"b1.s0": TagConfig.model_validate({"sensor_id": "b1.s0", "unit": "bar", "report": DOOR})}
        frame = Frame(window=MINUTE, grace=5_000_000, start=0, future=5 * MINUTE)
        self.pipeline = Pipeline(
            buffer,
            flow=Flow(("boilers", "furnace")),
            clock=clock,
            flush_interval_s=3600.0,
            observers=(self.seen.append,),
            reports=ReportFilter.if_any(tags, CATALOG, frame),
        )

    async def send(self, value: float, **keys: Any) -> None:
        """A second passes, and the connector counts and emits one reading."""
        self.clock.advance(1)
        now_us = to_micros(self.clock.now())
        self.pipeline.add_counts("boilers", {"sent": 1})
        await self.pipeline.emit(ReadingBatch("boilers", readings_batch([now_us], [0], [value], 0, now_us), **keys))

    async def counts(self) -> SourceCounts:
        await self.pipeline.commit()
        return self.buffer.counts()["boilers"]


@pytest.fixture
def bench(buffer: WindowBuffer, clock: ManualClock) -> Bench:
    return Bench(buffer, clock)


async def test_emit_when_readings_say_nothing_new_then_acknowledged_seen_and_not_counted_as_sent(bench: Bench) -> None:
    acknowledged: list[int] = []
    for number in range(6):
        await bench.send(1.0, acknowledge=lambda n=number: acknowledged.append(n))
    counts = await bench.counts()
    assert acknowledged == [0, 1, 2, 3, 4, 5]
    assert [batch.rows for batch in bench.seen] == [1] * 6
    assert (counts.sent, counts.buffered, counts.other["suppressed"]) == (1, 1, 4)
    bench.pipeline.end_reports()
    counts = await bench.counts()
    assert (counts.sent, counts.buffered, counts.other["suppressed"]) == (2, 2, 4)
    bench.pipeline.shutdown()


async def test_counts_when_all_of_a_batch_is_left_out_then_durable_before_it_is_acknowledged(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.send(1.0)
    await bench.pipeline.commit()
    await bench.send(1.0)
    await bench.send(1.0)
    durable: list[SourceCounts] = []
    index = BufferReader(tmp_path / "buffer")
    await bench.send(1.0, acknowledge=lambda: durable.append(index.counts()["boilers"]))
    await bench.pipeline.commit()
    assert [(counts.sent, counts.other["suppressed"]) for counts in durable] == [(1, 2)]
    bench.pipeline.shutdown()


async def test_gap_when_it_opens_then_the_held_reading_is_kept_and_the_next_is_too(bench: Bench) -> None:
    for _ in range(3):
        await bench.send(1.0)
    bench.pipeline.open_gap("boilers", bench.clock.now(), "unreachable")
    assert (await bench.counts()).sent == 2
    await bench.send(1.0)
    counts = await bench.counts()
    assert (counts.sent, counts.buffered) == (3, 3)
    bench.pipeline.shutdown()


async def test_window_when_it_closes_then_its_last_reading_is_in_it(bench: Bench) -> None:
    for _ in range(3):
        await bench.send(1.0)
    bench.clock.advance(60)
    await bench.pipeline.tick()
    bench.clock.advance(10)
    closed = await bench.pipeline.tick()
    assert [(window.window_start, window.rows) for window in closed if window.rows] == [(NOON, 2)]
    bench.pipeline.shutdown()


async def test_held_reading_when_the_buffer_is_full_then_it_is_kept_once_there_is_room(
    open_buffer: Callable[..., WindowBuffer], clock: ManualClock
) -> None:
    bench = Bench(open_buffer(max_bytes=1_048_576), clock)
    await bench.send(1.0)
    await bench.send(1.0)
    await bench.pipeline.commit()
    # rows of another source fill the buffer: this commit finds no room, and the next append is refused
    while bench.pipeline.full_for_s is None:
        clock.advance(1)
        await bench.pipeline.emit(batch_of(clock, rows=20_000, source="furnace"))
        await bench.pipeline.commit()
    bench.pipeline.end_reports()
    assert bench.buffer.counts()["boilers"].sent == 1
    clock.advance(120)
    closed = await bench.pipeline.tick()
    assert closed
    bench.buffer.stored_revisions({window.window_start: window.revision for window in closed})
    clock.advance(timedelta(hours=25).total_seconds())
    for _ in range(3):
        await bench.pipeline.tick()
        await bench.pipeline.commit()
    await asyncio.sleep(0)
    counts = await bench.counts()
    assert (counts.sent, counts.buffered) == (2, 2)
    bench.pipeline.shutdown()
