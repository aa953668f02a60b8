"""The collector on a serial line with three meters and on a device behind TCP, down to the windows on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.core.clock import from_micros
from resources.integrations import Integrations
from resources.window_buffer.reader import BufferReader
from sensors.collector.assembly import Collector, Doors
from tests.contract.scada.modbus_rigs import SerialUnits, TcpUnits, UnitsRig
from tests.faults.small_plant import until


@pytest.fixture
async def plant() -> AsyncIterator[tuple[SerialUnits, TcpUnits]]:
    line, device = SerialUnits(), TcpUnits((1,))
    await line.start()
    await device.start()
    yield line, device
    await device.stop()
    await line.stop()


def _source(rig: UnitsRig, *tags: dict[str, Any], **changes: Any) -> dict[str, Any]:
    made = [{"unit": "kW", "address": 1, "data_type": "uint16"} | tag for tag in tags]
    settings = {"kind": "modbus", "transport": rig.transport, "poll_interval": "50ms", "timeout": "200ms"}
    return settings | {"retries": 0, "tags": made} | rig.place() | changes


async def test_collector_when_a_meter_falls_silent_and_a_device_is_cut_then_every_reading_is_stored_or_in_a_gap(
    plant: tuple[SerialUnits, TcpUnits], tmp_path: Path
) -> None:
    line, device = plant
    device.units[1].registers[4:6] = [0x4142, 0x4300]
    config = Integrations.model_validate(
        {
            "site": "test",
            "start": datetime.now(UTC) - timedelta(days=1),
            "sources": {
                "line": _source(line, *({"sensor_id": f"meter{n}", "unit_id": n} for n in (1, 2, 3))),
                "device": _source(
                    device,
                    {"sensor_id": "power"},
                    {"sensor_id": "name", "address": 4, "data_type": "string", "length": 2},
                ),
            },
        }
    )
    collector, stop = Collector(config, tmp_path), asyncio.Event()
    running = asyncio.create_task(collector.run(stop, Doors(serve=False), close_windows=True))
    states = collector.states
    await until(lambda: states["line"].connected and states["device"].connected)
    line.units[2].silent = True
    await until(lambda: "meter2" in states["line"].failed_items)
    assert states["line"].connected
    line.units[2].silent = False
    await until(lambda: "meter2" not in states["line"].failed_items)
    device.cut()
    await until(lambda: not states["device"].connected)
    await until(lambda: states["device"].connected)
    stop.set()
    collected = await running
    for counts in collected.counts.values():
        assert counts.sent == counts.buffered + counts.rejected + counts.in_gaps
        assert counts.buffered > 0
    reader = BufferReader(tmp_path / "buffer")
    gaps = [gap for gap in reader.gaps() if gap.source == "line" and "unit 2 did not answer" in gap.reason]
    assert gaps
    assert all(gap.until is not None and gap.until > from_micros(0) for gap in gaps)
    texts = [
        text
        for window in reader.windows()
        for text in reader.read(window.window_start).texts.column("value").to_pylist()
    ]
    assert set(texts) == {"ABC"}
