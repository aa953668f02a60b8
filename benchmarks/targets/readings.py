"""Targets of readings: connecting, reading, buffering; and a hundred devices, by the part of `gl bench scada`.

Devices are real Modbus and OPC UA servers and a real broker, in processes of their own, without encryption.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.scada import pool as scada_pool
from benchmarks.scada.devices import Fleet, sources
from benchmarks.scratch_broker import scratch_broker
from benchmarks.store.workload import START, make_config, second
from resources.core.clock import ManualClock, SystemClock
from resources.core.readings import ReadingBatch
from resources.integrations import Integrations
from resources.scada.connector import HasHealth, ScadaClient
from resources.scada.modbus.client import ModbusClient
from resources.window_buffer.buffer import WindowBuffer
from sensors.collector.sources import build_clients

Progress = Callable[[str], None]

CONNECTIONS = 7
READS = 200
POOL_REPEATS = 1
_LIMIT_S = 60.0
_TAGS = 10


def measure(progress: Progress) -> dict[str, float]:
    """Return the figures of this part."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    figures = {"buffer_10000_s": _buffered(progress)}
    with scratch_broker(progress) as (broker, _):
        figures |= asyncio.run(_single(broker.port, progress))
    pool = scada_pool.measure(POOL_REPEATS, progress)
    return figures | {
        "devices_100_connect_s": pool["devices_100_connect_s"],
        "health_100_s": pool["health_100_s"],
        "readings_per_s": pool["collector_readings_per_s"],
        "readings_lost": pool["collector_readings_lost"],
    }


def _buffered(progress: Progress) -> float:
    """Return the seconds in which 10,000 readings are durable: ten seconds of 1,000 sensors, a commit for each."""
    progress("10,000 readings into the buffer")
    config, taken = make_config(), []
    for _ in range(CONNECTIONS):
        with tempfile.TemporaryDirectory() as folder:
            buffer = WindowBuffer(
                Path(folder) / "buffer",
                collector=config.collector.name,
                grid=config.grid,
                start=START,
                catalog=config.catalog(),
                clock=ManualClock(START),
            )
            arriving = [list(second(config, at, np.random.default_rng(at))) for at in range(10)]
            begun = time.perf_counter()
            for batches in arriving:
                for batch in batches:
                    buffer.append(batch)
                buffer.commit()
            taken.append(time.perf_counter() - begun)
            buffer.close()
    return round(statistics.median(taken), 3)


@dataclass(slots=True)
class _Driver:
    """Takes what a connector brings and acknowledges at once; knows when the connection is up."""

    up: asyncio.Event = field(default_factory=asyncio.Event)

    async def emit(self, batch: ReadingBatch) -> None:
        if batch.acknowledge is not None:
            batch.acknowledge()

    def connected(self, facts: Mapping[str, str], *, unbroken: bool = False) -> None:
        self.up.set()

    def item_failed(self, sensor_id: str, reason: str) -> None:
        pass

    def item_recovered(self, sensor_id: str) -> None:
        pass

    def missed(self, since: datetime, until: datetime, reason: str) -> None:
        pass

    def counted(self, **increments: int) -> None:
        pass


async def _single(broker_port: int, progress: Progress) -> dict[str, float]:
    """Return how long one device of each protocol takes to connect, and to answer."""
    fleets = [
        Fleet("modbus", 1, tags=_TAGS),
        Fleet("opc_ua", 1, tags=_TAGS),
        Fleet("mqtt", 1, tags=_TAGS, broker_port=broker_port),
    ]
    figures: dict[str, float] = {}
    try:
        for fleet in fleets:
            await fleet.start()
            progress(f"connecting to one device, {fleet.kind}")
            figures |= await _device(fleet)
    finally:
        for fleet in fleets:
            await fleet.stop()
    return figures


async def _device(fleet: Fleet) -> dict[str, float]:
    start = datetime.now(UTC) - timedelta(days=1)
    config = Integrations.model_validate({"site": "bench", "start": start, "window": "1h", "sources": sources([fleet])})
    connects, reads = [], []
    for number in range(CONNECTIONS):
        # an object of its own each time: nothing of the connection before is known to it
        client = build_clients(config, config.catalog(), SystemClock())[0]
        driver = _Driver()
        begun = time.perf_counter()
        running = asyncio.create_task(client.run(driver.emit, driver))
        async with asyncio.timeout(_LIMIT_S):
            await driver.up.wait()
        connects.append(time.perf_counter() - begun)
        if number == CONNECTIONS - 1:
            reads = await _reads(client)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    found = {f"connect_{fleet.kind}_ms": _milliseconds(connects)}
    return found | ({f"read_{fleet.kind}_ms": _milliseconds(reads)} if reads else {})


async def _reads(client: ScadaClient) -> list[float]:
    """Return the seconds of single reads over the connection that is open; none where values come unasked."""
    read: Callable[[], Awaitable[object]]
    if isinstance(client, ModbusClient):
        first = f"{client.name}.0"
        read = lambda: client.read([first])  # noqa: E731 - two ways of one line
    elif client.kind == "opc_ua" and isinstance(client, HasHealth):
        # the health check is a read of one node over the session; values of tags come by subscription
        read = client.check_health
    else:
        return []
    taken = []
    for _ in range(READS):
        begun = time.perf_counter()
        await read()
        taken.append(time.perf_counter() - begun)
    return taken


def _milliseconds(seconds: list[float]) -> float:
    return round(1_000 * statistics.median(seconds), 2)
