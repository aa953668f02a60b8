"""kill -9 of the collector in the middle of a window, with all three protocols running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from resources.core.clock import from_micros
from resources.embedded.broker import EmbeddedBroker
from resources.window_buffer.model import Gap
from tests.faults.small_plant import CollectorProcess, SmallPlant, until

SECOND = timedelta(seconds=1)


@pytest.fixture
async def plant(tmp_path: Path, broker: EmbeddedBroker) -> AsyncIterator[SmallPlant]:
    plant = SmallPlant(tmp_path, broker)
    await plant.start()
    yield plant
    await plant.stop()


@pytest.fixture
async def collector(plant: SmallPlant) -> AsyncIterator[CollectorProcess]:
    collector = CollectorProcess(plant, {})
    collector.start()
    yield collector
    collector.close()


async def finish(plant: SmallPlant, collector: CollectorProcess) -> None:
    """Let the devices rest, and end the collector when everything published has arrived."""
    await plant.rest()
    await plant.all_published()
    await until(lambda: plant.opc_ua.pending() == 0)
    sent = len(plant.published)
    await collector.until(lambda: collector.metric("gl_buffered_total", source="mqtt") >= sent)
    assert await collector.end() == 0


async def test_collector_when_killed_then_mqtt_loses_nothing_and_the_rest_stands_as_a_gap_to_the_second(
    plant: SmallPlant, collector: CollectorProcess
) -> None:
    await collector.until_connected()
    plant.work()
    await collector.until_rows("modbus", 10)
    await collector.until_rows("mqtt", 100)
    killed_at = await collector.kill()
    published_before, written_before = len(plant.published), len(plant.written)
    await until(lambda: len(plant.published) > published_before + 200 and len(plant.written) > written_before + 20)
    collector.start()
    await collector.until_connected()
    await collector.until_rows("modbus", 10)
    await collector.until_rows("opc_ua", 10)
    await finish(plant, collector)

    gaps = {source: plant.outages(source) for source in ("modbus", "opc_ua")}
    arrived = plant.contents()
    assert dict(arrived["mqtt.count"]) == plant.published
    for rows in arrived.values():
        assert len({time for time, _ in rows}) == len(rows)
    for source, sensor_id in (("modbus", "modbus.count"), ("opc_ua", "opc.count")):
        (gap,) = gaps[source]
        assert gap.until is not None
        assert killed_at - SECOND <= gap.since <= killed_at + SECOND
        instants = [from_micros(time) for time, _ in arrived[sensor_id]]
        assert_nothing_inside(instants, gap.since, gap.until)
        assert len([i for i in instants if i <= gap.since + SECOND]) >= 10
        assert len([i for i in instants if i >= gap.until - SECOND]) >= 10
    assert_values_outside_the_gap_arrived(plant, gaps["opc_ua"][0], arrived["opc.count"])


def assert_nothing_inside(instants: list[datetime], since: datetime, until_: datetime) -> None:
    """The gap is no longer than what is missing, to the second; a busy machine's first value takes its time."""
    assert [i for i in instants if since + SECOND < i < until_ - SECOND] == []
    last, first = max(i for i in instants if i <= since + SECOND), min(i for i in instants if i >= until_ - SECOND)
    assert since - last <= SECOND
    assert first - until_ <= 15 * SECOND


def assert_values_outside_the_gap_arrived(plant: SmallPlant, gap: Gap, rows: list[tuple[int, float]]) -> None:
    assert gap.until is not None
    first = min(time for time, _ in rows)
    expected = {
        time: value
        for time, value in plant.written.items()
        if time >= first and not gap.since - SECOND < from_micros(time) < gap.until + SECOND
    }
    arrived = dict(rows)
    assert {time: arrived.get(time) for time in expected} == expected


async def test_collector_when_killed_again_and_again_then_still_nothing_is_lost_or_doubled(
    plant: SmallPlant, collector: CollectorProcess
) -> None:
    await collector.until_connected()
    plant.work(messages_per_s=500)
    for _ in range(3):
        await collector.until_connected()
        await collector.until_rows("mqtt", 50)
        await collector.kill()
        collector.start()
    await collector.until_connected()
    await finish(plant, collector)
    counts = plant.counts()["mqtt"]
    arrived = plant.contents()["mqtt.count"]
    assert dict(arrived) == plant.published
    assert len(arrived) == len(plant.published)
    # what came a second time was counted as sent a second time, and is left out when a window is read
    assert counts.sent == counts.buffered >= len(arrived)


async def test_collector_when_ended_by_sigterm_then_nothing_comes_twice(
    plant: SmallPlant, collector: CollectorProcess
) -> None:
    await collector.until_connected()
    plant.work()
    await collector.until_rows("mqtt", 50)
    assert await collector.end() == 0
    ended_with = plant.counts()["mqtt"].buffered
    collector.start()
    await collector.until_connected()
    await finish(plant, collector)
    (gap,) = plant.outages("modbus")
    assert gap.until is not None
    assert plant.counts()["mqtt"].buffered >= ended_with
    assert dict(plant.contents()["mqtt.count"]) == plant.published
