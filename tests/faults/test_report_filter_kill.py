"""kill -9 of the collector while tags with `report` are collected: what is kept is true, there once, and close enough.

MQTT's broker gives again what was not acknowledged; an OPC UA server does not, so its values stand around a gap.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from resources.core.clock import from_micros, to_micros
from resources.demo_plant.servers.mqtt import Message
from resources.embedded.broker import EmbeddedBroker
from resources.window_buffer.reader import BufferReader
from tests.faults.small_plant import CollectorProcess, SmallPlant, now_us, until

KILLS = 2
BAND = 0.5
REPORTS: dict[str, dict[str, Any]] = {
    "change": {"when": "change"},
    "deadband": {"when": "deadband", "deadband": BAND},
    "door": {"when": "swinging_door", "deviation": BAND},
}
STEP_US = 10_000
MARGIN_US = 1_000_000
Interval = tuple[int, int]
"""Source times of two readings that are stored one after the other."""


def signal(sensor: str, number: int) -> float:
    """Return the value of a reading: one that wanders, with noise as wide as the bands; steps for `change`."""
    if sensor == "change":
        return float(number // 7 % 5)
    noise = (number * 7919 % 101) / 101 - 0.5
    return round(4 * math.sin(number / 90) + 0.8 * noise, 6)


class ReportingPlant(SmallPlant):
    """One publisher of four topics, one reading of each at a time, and one OPC UA node."""

    def __init__(self, folder: Path, broker: EmbeddedBroker) -> None:
        super().__init__(folder, broker, sources="opc_ua mqtt")
        self.taken: dict[str, dict[int, float]] = {sensor: {} for sensor in ("all", *REPORTS)}
        """Sensor -> source time -> value of every message that the broker has taken."""
        self._began_us = 0

    def _config(self) -> dict[str, Any]:
        config = super()._config()
        for tag in config["sources"]["opc_ua"]["tags"]:
            tag["report"] = REPORTS["door"]
        tags = [{"sensor_id": sensor, "unit": "1", "topic": f"plant/{sensor}"} for sensor in ("all", *REPORTS)]
        config["sources"]["mqtt"]["tags"] = [
            tag | ({"report": REPORTS[tag["sensor_id"]]} if tag["sensor_id"] in REPORTS else {}) for tag in tags
        ]
        return config

    async def _publish(self, pause_s: float) -> None:
        self._began_us = now_us() // 1000 * 1000
        number = 0
        while True:
            for sensor in self.taken:
                self._send(sensor, {"value": signal(sensor, number)}, self._began_us + number * STEP_US)
            number += 1
            await asyncio.sleep(pause_s)

    def _send(self, sensor: str, content: dict[str, Any], time_us: int) -> None:
        payload = json.dumps(content | {"time": from_micros(time_us).isoformat()}).encode()
        self.publisher.publish(Message(f"plant/{sensor}", payload, time_us))

    def mark_the_end(self) -> None:
        """Publish what is no reading, behind all the others: once it is rejected, they have all been received."""
        self.publisher.publish(Message("plant/all", b"the end", 0))

    async def start(self) -> None:
        await super().start()
        # before anyone reads: what a node holds by itself was not published
        await self._write_once(0)

    async def _write(self, pause_s: float) -> None:
        number = 0
        while True:
            number += 1
            await self._write_once(number)
            await asyncio.sleep(pause_s)

    async def _write_once(self, number: int) -> None:
        time_us = max(max(self.written, default=0) + 1000, now_us() // 1000 * 1000)
        self.written[time_us] = signal("opc", number)
        await self.opc_ua.write(0, self.written[time_us], time_us)

    def _sent(self, message: Message, _heard: bool) -> None:
        sensor = message.topic.removeprefix("plant/")
        if message.time_us:
            self.taken[sensor][message.time_us] = json.loads(message.payload)["value"]

    def stored(self) -> dict[str, Stored]:
        """Close every window and return what is in them, by sensor; nothing was rejected but the mark of the end."""
        names = list(self.contents())
        reader, found = BufferReader(self.home / "buffer"), {name: Stored({}, {}, 0) for name in names}
        rejects = 0
        for window in reader.windows():
            held = reader.read(window.window_start)
            rejects += held.rejects.num_rows
            keys = dict(zip(*(held.sensors.column(c).to_pylist() for c in ("sensor_key", "sensor_id")), strict=True))
            times, received = (
                held.readings.column(name).cast(pa.int64()).to_pylist() for name in ("time", "received_at")
            )
            columns = (held.readings.column(name).to_pylist() for name in ("sensor_key", "value"))
            for key, value, time, at in zip(*columns, times, received, strict=True):
                one = found[keys[key]]
                one.rows += 1
                one.values[time], one.received[time] = value, at
        assert rejects == 1
        return found


@dataclass
class Stored:
    """The stored readings of one sensor."""

    values: dict[int, float]
    """By source time."""
    received: dict[int, int]
    """When the collector received them, by source time."""
    rows: int

    def beyond(self, published: dict[int, float], report: dict[str, Any]) -> list[Interval]:
        """Return between which stored readings a published one is farther off than `report` promises."""
        at = np.array(sorted(self.values))
        kept = np.array([self.values[time] for time in at.tolist()])
        times = np.array(sorted(time for time in published if at[0] <= time <= at[-1]))
        values = np.array([published[time] for time in times.tolist()])
        before = np.searchsorted(at, times, "right") - 1
        drawn = np.interp(times, at, kept) if report["when"] == "swinging_door" else kept[before]
        bound = report.get("deadband", report.get("deviation", 0.0))
        wrong = np.unique(before[np.abs(drawn - values) > bound + 1e-9])
        return [(int(at[n]), int(at[n + 1])) if n + 1 < len(at) else (int(at[n]), int(at[n])) for n in wrong.tolist()]

    def spans_a_start(self, interval: Interval, starts: list[int]) -> bool:
        """Return whether the two readings were received by different processes."""
        first, second = sorted(self.received[time] for time in interval)
        return any(first < start <= second for start in starts)


@pytest.fixture
async def plant(tmp_path: Path, broker: EmbeddedBroker) -> AsyncIterator[ReportingPlant]:
    plant = ReportingPlant(tmp_path, broker)
    await plant.start()
    yield plant
    await plant.stop()


@pytest.fixture
async def collector(plant: ReportingPlant) -> AsyncIterator[CollectorProcess]:
    collector = CollectorProcess(plant, {})
    collector.start()
    yield collector
    collector.close()


async def collected_over_kills(plant: ReportingPlant, collector: CollectorProcess) -> list[int]:
    """Let the plant work, kill the collector again and again, and end it with all received; return when it started."""
    starts: list[int] = []
    await collector.until_connected()
    plant.work(messages_per_s=100)
    for _ in range(KILLS):
        await collector.until_rows("mqtt", 250)
        await collector.until_rows("opc_ua", 10)
        await collector.kill()
        enough = len(plant.written) + 10
        await until(lambda enough=enough: len(plant.written) >= enough)
        starts.append(now_us())
        collector.start()
        await collector.until_connected()
    await collector.until_rows("mqtt", 250)
    await collector.until_rows("opc_ua", 10)
    await plant.rest()
    plant.mark_the_end()
    await plant.all_published()
    await collector.until(lambda: collector.metric("gl_rejected_total", source="mqtt") >= 1)
    assert await collector.end() == 0
    return starts


async def test_reports_when_the_collector_is_killed_then_what_is_kept_is_true_and_once_and_within_the_bounds(
    plant: ReportingPlant, collector: CollectorProcess
) -> None:
    starts = await collected_over_kills(plant, collector)
    gaps = [(to_micros(gap.since), to_micros(gap.until or gap.since)) for gap in plant.gaps("opc_ua")]
    counts = plant.counts()
    stored = plant.stored()
    published = plant.taken | {"opc.count": plant.written}
    for sensor, found in stored.items():
        assert found.values.items() <= published[sensor].items(), sensor
        assert found.rows == len(found.values), sensor

    assert stored["all"].values == plant.taken["all"]
    for sensor in REPORTS:
        times = plant.taken[sensor]
        assert {min(times), max(times)} <= stored[sensor].values.keys()
        assert len(stored[sensor].values) < len(times) / 2, "the filter leaves out"
    for sensor in ("change", "deadband"):
        assert stored[sensor].beyond(plant.taken[sensor], REPORTS[sensor]) == []
    # a door's last corner is not known before it turns: a kill may lose it
    door = stored["door"].beyond(plant.taken["door"], REPORTS["door"])
    assert len(door) <= KILLS
    assert all(stored["door"].spans_a_start(interval, starts) for interval in door)
    for first, second in stored["opc.count"].beyond(plant.written, REPORTS["door"]):
        assert any(first <= until_ + MARGIN_US and second >= since - MARGIN_US for since, until_ in gaps)

    for source in ("mqtt", "opc_ua"):
        assert counts[source].sent == counts[source].buffered + counts[source].rejected + counts[source].in_gaps
    # each message was buffered, counted as left out, or was the newest one left out when the process was killed
    messages = sum(len(times) for times in plant.taken.values())
    assert messages <= counts["mqtt"].buffered + counts["mqtt"].other["suppressed"] + KILLS * len(REPORTS)
