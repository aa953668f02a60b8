"""A cable between collector and OPC UA server that breaks again and again: nothing is lost, nothing doubled, no gap."""

from __future__ import annotations

import asyncio
from pathlib import Path

from resources.embedded.broker import EmbeddedBroker
from sensors.collector.assembly import Collector, Doors
from tests.faults.small_plant import SmallPlant, until

CUTS = 3


async def test_opc_ua_when_connections_are_cut_again_and_again_then_every_value_is_there_once_and_there_is_no_gap(
    tmp_path: Path, broker: EmbeddedBroker
) -> None:
    plant = SmallPlant(tmp_path, broker, sources="opc_ua")
    await plant.start()
    collector, stop = Collector(plant.config, plant.home), asyncio.Event()
    running = asyncio.create_task(collector.run(stop, Doors(serve=False)))
    try:
        state = collector.states["opc_ua"]
        await until(lambda: state.connected)
        plant.work()
        for number in range(CUTS):
            before = state.rows
            await until(lambda before=before: state.connected and state.rows > before + 10)
            assert plant.opc_ua.drop_connections() >= 1
            await until(lambda number=number: state.connections == number + 2)
        before = state.rows
        await until(lambda: state.rows > before + 10)
        await plant.rest()
        # rows that came twice are counted in `rows`: what is not acknowledged yet is what may still be missing
        await until(lambda: plant.opc_ua.pending() == 0 and state.rows >= len(plant.written))
    finally:
        stop.set()
        await running
        await plant.stop()
    assert state.facts["session"] == "resumed"
    assert plant.outages("opc_ua") == []
    counts = plant.counts()["opc_ua"]
    rows = plant.contents()["opc.count"]
    assert len({time for time, _ in rows}) == len(rows)
    assert set(plant.written.items()) <= set(rows)
    assert counts.sent == counts.buffered + counts.rejected
