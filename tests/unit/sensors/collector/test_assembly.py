from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from resources.core.clock import Clock, ManualClock
from resources.core.tags import SensorCatalog
from resources.integrations import Integrations
from resources.scada.connector import Emit, ScadaClient, StatusSink
from resources.window_buffer.model import SourceCounts
from sensors.collector import ending
from sensors.collector.assembly import Collector, Doors, since
from tests.unit.sensors.collector.bench import NOON, until


class Deaf:
    """A connector that swallows the first cancellation."""

    name, kind = "deaf", "mqtt"

    def __init__(self) -> None:
        self.cancelled = 0

    async def run(self, emit: Emit, status: StatusSink) -> None:
        status.connected({})
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.cancelled > 1:
                    raise


async def test_collector_when_a_connector_swallows_a_cancellation_then_it_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "CANCEL_AGAIN_S", 0.01)
    deaf = Deaf()

    def build(_: Integrations, __: SensorCatalog, ___: Clock) -> list[ScadaClient]:
        return [deaf]

    config = Integrations(site="plant", start=NOON - timedelta(days=1))
    collector, stop = Collector(config, tmp_path, build=build), asyncio.Event()
    running = asyncio.create_task(collector.run(stop, Doors(serve=False)))
    await until(lambda: collector.states["deaf"].connected)
    stop.set()
    collected = await asyncio.wait_for(running, 60)
    assert deaf.cancelled == 2
    assert collected.closed == []


class AtOnce:
    """A connector that is connected as soon as it is run."""

    name, kind = "at_once", "mqtt"

    async def run(self, emit: Emit, status: StatusSink) -> None:
        status.connected({})
        await asyncio.Event().wait()


async def test_collector_when_it_is_slow_to_start_then_that_time_is_in_the_gap_of_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(NOON)

    def slowly(_: Collector) -> None:
        clock.advance(5)

    # stands for the import of what scores, on a busy machine
    monkeypatch.setattr(Collector, "_make_anomalies", slowly)
    config = Integrations(site="plant", start=NOON - timedelta(days=1))
    collector, stop = Collector(config, tmp_path, clock=clock, build=lambda *_: [AtOnce()]), asyncio.Event()
    running = asyncio.create_task(collector.run(stop, Doors(serve=False)))
    await until(lambda: any(gap.until for gap in collector.buffer.gaps()))
    assert [(gap.source, gap.since, gap.until) for gap in collector.buffer.gaps()] == [
        ("at_once", NOON, NOON + timedelta(seconds=5))
    ]
    stop.set()
    await asyncio.wait_for(running, 60)


def test_since_when_counters_have_grown_then_the_difference() -> None:
    before = {"a": SourceCounts(sent=5, buffered=4, other={"overruns": 1})}
    now = {"a": SourceCounts(sent=9, buffered=7, other={"overruns": 3, "new": 1}), "b": SourceCounts(sent=1)}
    assert since(before, now) == {
        "a": SourceCounts(sent=4, buffered=3, other={"overruns": 2, "new": 1}),
        "b": SourceCounts(sent=1),
    }


def test_collector_when_connection_health_is_off_then_nothing_is_measured_and_nothing_kept(tmp_path: Path) -> None:
    off = {"site": "plant", "start": NOON - timedelta(days=1), "connection_health": {"enabled": False}}
    collector = Collector(Integrations.model_validate(off), tmp_path, build=lambda *_: [])
    assert (collector.connections, collector.events) == (None, None)
    collector.buffer.close()
