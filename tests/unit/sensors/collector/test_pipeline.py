from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from resources.core.clock import ManualClock
from resources.core.errors import PlatformError
from resources.core.readings import ReadingBatch
from resources.window_buffer.buffer import WindowBuffer
from sensors.collector import pipeline as module
from sensors.collector.flow import Flow
from sensors.collector.pipeline import Pipeline
from tests.unit.sensors.collector.bench import NOON, batch_of, until

MIB = 1_048_576


class Bench:
    def __init__(self, buffer: WindowBuffer, clock: ManualClock, flush_interval_s: float = 3600.0) -> None:
        self.buffer, self.clock = buffer, clock
        self.flow = Flow(("boilers", "furnace"))
        self.seen: list[ReadingBatch] = []
        self.pipeline = Pipeline(
            buffer,
            flow=self.flow,
            clock=clock,
            flush_interval_s=flush_interval_s,
            patient=frozenset({"furnace"}),
            observers=(self.seen.append,),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Pipeline]:
        task = asyncio.create_task(self.pipeline.run())
        try:
            yield self.pipeline
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.pipeline.shutdown()


@pytest.fixture
def bench(buffer: WindowBuffer, clock: ManualClock) -> Bench:
    return Bench(buffer, clock)


async def test_batch_when_an_acknowledgement_is_owed_then_committed_without_waiting_for_the_interval(
    bench: Bench,
) -> None:
    acknowledged: list[int] = []
    async with bench.running() as pipeline:
        for number in range(5):
            await pipeline.emit(batch_of(bench.clock, acknowledge=lambda n=number: acknowledged.append(n)))
            await until(lambda n=number: acknowledged == list(range(n + 1)))
    assert bench.flow.acknowledged == 5
    assert bench.buffer.counts()["boilers"].buffered == 5


async def test_batch_when_acknowledged_then_it_was_durable_before(bench: Bench) -> None:
    durable_when_acknowledged: list[int] = []

    def acknowledge() -> None:
        durable_when_acknowledged.append(bench.buffer.counts()["boilers"].buffered)

    async with bench.running() as pipeline:
        await pipeline.emit(batch_of(bench.clock, rows=7, acknowledge=acknowledge))
        await until(lambda: bool(durable_when_acknowledged))
    assert durable_when_acknowledged == [7]


async def test_batch_when_nothing_is_owed_then_committed_within_the_interval(
    buffer: WindowBuffer, clock: ManualClock
) -> None:
    bench = Bench(buffer, clock, flush_interval_s=0.02)
    async with bench.running() as pipeline:
        await pipeline.emit(batch_of(clock, rows=3))
        await until(lambda: bench.flow.rows == 3)
    assert bench.seen[0].rows == 3


async def test_emit_when_too_much_is_pending_then_it_waits_for_a_commit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING_ROWS", 10)
    await bench.pipeline.emit(batch_of(bench.clock, rows=10))
    waiting = asyncio.create_task(bench.pipeline.emit(batch_of(bench.clock, rows=1)))
    await asyncio.sleep(0)
    assert not waiting.done()
    await bench.pipeline.commit()
    await asyncio.wait_for(waiting, 60)
    bench.pipeline.shutdown()
    assert len(bench.seen) == 2


async def test_emit_when_large_batches_are_pending_then_it_waits_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING_BYTES", 100)
    async with bench.running() as pipeline:
        for _ in range(20):
            await pipeline.emit(batch_of(bench.clock, rows=50))
        await until(lambda: bench.flow.rows == 1000)
    assert bench.flow.commits.count >= 10


async def test_emit_when_cancelled_while_it_waits_then_the_batch_is_taken_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING_ROWS", 10)
    await bench.pipeline.emit(batch_of(bench.clock, rows=10))
    waiting = asyncio.create_task(bench.pipeline.emit(batch_of(bench.clock, rows=1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await bench.pipeline.commit()
    bench.pipeline.shutdown()
    assert bench.buffer.counts()["boilers"].buffered == 11


async def test_counts_when_a_batch_still_waits_then_they_wait_with_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING_ROWS", 10)
    await bench.pipeline.emit(batch_of(bench.clock, rows=10, source="furnace"))
    bench.pipeline.add_counts("furnace", {"sent": 10})
    bench.pipeline.add_counts("boilers", {"sent": 1})
    waiting = asyncio.create_task(bench.pipeline.emit(batch_of(bench.clock, rows=1)))
    await asyncio.sleep(0)
    await bench.pipeline.commit()
    assert bench.buffer.counts()["furnace"].sent == 10
    assert "boilers" not in bench.buffer.counts()
    await asyncio.wait_for(waiting, 60)
    await bench.pipeline.commit()
    bench.pipeline.shutdown()
    assert bench.buffer.counts()["boilers"].sent == 1


async def test_gaps_when_noted_then_durable_with_the_next_commit_and_in_order(bench: Bench) -> None:
    later = NOON + timedelta(seconds=30)
    bench.pipeline.open_gap("boilers", NOON, "unreachable: no reply")
    bench.pipeline.close_gap("boilers", later)
    bench.pipeline.add_gap("boilers", later, later + timedelta(seconds=5), "too slow")
    bench.pipeline.open_gap("furnace", NOON, "auth: refused")
    assert bench.buffer.gaps() == []
    await bench.pipeline.commit()
    bench.pipeline.shutdown()
    found = sorted((g.source, g.since, g.until, g.reason) for g in bench.buffer.gaps())
    assert found == [
        ("boilers", NOON, later, "unreachable: no reply"),
        ("boilers", later, later + timedelta(seconds=5), "too slow"),
        ("furnace", NOON, None, "auth: refused"),
    ]


async def test_windows_when_the_clock_passes_their_end_then_closed_by_the_tick(bench: Bench) -> None:
    async with bench.running() as pipeline:
        await pipeline.emit(batch_of(bench.clock))
        bench.clock.advance(120)
        await until(lambda: bench.flow.closed_windows >= 1)
    assert bench.buffer.held_windows()[0].revision == 1


class FullBench(Bench):
    """A buffer of one mebibyte, filled by a source that cannot wait and one that can."""

    async def fill(self) -> None:
        while self.pipeline.full_for_s is None:
            self.clock.advance(0.1)
            async with asyncio.timeout(60):
                emit = asyncio.create_task(self.pipeline.emit(batch_of(self.clock, rows=20_000)))
                await asyncio.wait({emit}, timeout=0.2)
                await self.pipeline.commit()
                self.waiting = emit

    async def wait(self) -> asyncio.Task[None]:
        """Let the source that cannot wait do so; its gap is durable when this returns."""
        waiting = asyncio.create_task(self.pipeline.emit(batch_of(self.clock)))
        await asyncio.sleep(0)
        await self.pipeline.commit()
        assert not waiting.done()
        return waiting

    async def store(self) -> None:
        """Let everything held be stored, which makes room."""
        await self.pipeline.tick()
        self.buffer.stored_revisions({w.window_start: w.revision for w in self.buffer.held_windows()})
        await self.pipeline.commit()
        assert self.pipeline.full_for_s is None


@pytest.fixture
def full(open_buffer: Callable[..., WindowBuffer], clock: ManualClock) -> FullBench:
    return FullBench(open_buffer(MIB), clock)


async def test_buffer_when_full_then_nothing_is_acknowledged_and_what_cannot_wait_gets_a_gap(
    full: FullBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged: list[str] = []
    await full.fill()
    mqtt = asyncio.create_task(
        full.pipeline.emit(batch_of(full.clock, source="furnace", acknowledge=lambda: acknowledged.append("mqtt")))
    )
    modbus = asyncio.create_task(full.pipeline.emit(batch_of(full.clock)))
    await asyncio.sleep(0)
    full.clock.advance(1)
    await full.pipeline.commit()
    assert full.buffer.state().full
    assert full.flow.refused_commits >= 1
    assert [(g.source, g.until) for g in full.buffer.gaps()] == [("boilers", None)]
    assert acknowledged == []

    full.clock.advance(600)
    await full.pipeline.tick()
    full.buffer.stored_revisions({w.window_start: w.revision for w in full.buffer.held_windows()})
    await full.pipeline.commit()
    assert full.pipeline.full_for_s is None
    await asyncio.wait_for(asyncio.gather(mqtt, modbus, full.waiting), 60)
    await full.pipeline.emit(batch_of(full.clock))
    await full.pipeline.commit()
    full.pipeline.shutdown()
    assert acknowledged == ["mqtt"]
    (gap,) = full.buffer.gaps()
    assert gap.until == full.clock.now()


@pytest.mark.parametrize("stored_after_s", [0, 3600], ids=["then room", "then full for an hour"])
async def test_gap_of_a_full_buffer_when_the_source_connects_again_then_it_ends_once_the_buffer_takes(
    full: FullBench, stored_after_s: int
) -> None:
    await full.fill()
    pipeline, clock = full.pipeline, full.clock
    began = clock.now()
    waiting = await full.wait()
    clock.advance(600)
    # the session dies while it waits, and the next one waits as well
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    pipeline.open_gap("boilers", began, "unreachable: the session was lost")
    pipeline.close_gap("boilers", clock.now())
    waiting = await full.wait()
    assert [g.until for g in full.buffer.gaps()] == [None]

    clock.advance(stored_after_s)
    await full.store()
    await asyncio.wait_for(waiting, 60)
    await pipeline.emit(batch_of(clock))
    await pipeline.commit()
    taken = clock.now()
    assert [(g.since, g.until) for g in full.buffer.gaps()] == [(began, taken)]

    # the next outage is one of its own
    pipeline.open_gap("boilers", taken, "unreachable: the session was lost")
    clock.advance(5)
    pipeline.close_gap("boilers", clock.now())
    await pipeline.commit()
    pipeline.shutdown()
    assert [(g.since, g.until) for g in full.buffer.gaps()] == [(began, taken), (taken, clock.now())]


async def test_gap_of_a_full_buffer_when_a_connection_ended_it_then_the_next_full_buffer_makes_another(
    full: FullBench,
) -> None:
    await full.fill()
    pipeline, clock = full.pipeline, full.clock
    waiting = await full.wait()
    clock.advance(600)
    await full.store()
    await asyncio.wait_for(waiting, 60)
    pipeline.close_gap("boilers", clock.now())
    while pipeline.full_for_s is None:
        clock.advance(0.1)
        await asyncio.wait_for(pipeline.emit(batch_of(clock, rows=20_000, source="furnace")), 60)
        await pipeline.commit()
    waiting = await full.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    pipeline.shutdown()
    assert [g.until is None for g in full.buffer.gaps()] == [False, True]


async def test_run_when_the_disk_fails_then_the_process_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(bench.buffer, "tick", fail)
    with pytest.raises(PlatformError, match=r"Input/output error.*check the disk"):
        await asyncio.wait_for(bench.pipeline.run(), 60)
    bench.pipeline.shutdown()


async def test_run_when_the_disk_is_full_then_it_goes_on_and_takes_again_once_there_is_room(
    buffer: WindowBuffer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(buffer, clock, flush_interval_s=0.02)
    monkeypatch.setattr(module, "TICK_S", 0.01)
    monkeypatch.setattr(module, "FULL_RETRY_S", 0.01)
    index = bench.buffer._index
    # SQLite's own limit stands for a full disk: it refuses with the same code
    index.run(f"PRAGMA max_page_count = {index.all('PRAGMA page_count')[0][0]}")
    bench.buffer.add_counts("boilers", **{f"count_{n}_{'x' * 200}": 1 for n in range(200)})
    async with bench.running() as pipeline:
        await until(lambda: bench.buffer.state().full and pipeline.full_for_s is not None)
        waiting = asyncio.create_task(pipeline.emit(batch_of(bench.clock)))
        refused = bench.flow.refused_commits
        await until(lambda: bench.flow.refused_commits > refused + 3)
        assert not waiting.done()
        index.run("PRAGMA max_page_count = 1000000")
        await asyncio.wait_for(waiting, 60)
        bench.clock.advance(120)
        await until(lambda: bench.flow.closed_windows >= 1)
    assert bench.buffer.counts()["boilers"].buffered == 1
