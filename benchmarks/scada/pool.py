"""One collector and a hundred devices: 40 Modbus and 40 OPC UA servers, 20 MQTT devices, over loopback.

How long until all are connected, until all have answered a health check, until one that was away is read again, and how
many readings a second are stored while nothing is lost. The devices run in processes of their own, without encryption.
`python -m benchmarks.scada.pool`
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import structlog

from benchmarks.scada.devices import Fleet, sources
from benchmarks.scratch_broker import scratch_broker
from resources.embedded.broker import EmbeddedBroker
from resources.integrations import Integrations
from resources.transport.turns.circuit_breaker import Circuit
from sensors.collector.assembly import Collector, Doors
from sensors.collector.state import SourceState

MODBUS, OPC_UA, MQTT = 40, 40, 20
OFFERED_S = 60.0
_LIMIT_S = 300.0


def measure(repeats: int, progress: Callable[[str], None]) -> dict[str, float]:
    """Return the figures of the pool, medians of `repeats` where they are short; the readings run once for 60 s."""
    quiet()
    with scratch_broker(progress) as (broker, folder):
        return asyncio.run(_measure(folder, broker, repeats, progress))


def quiet() -> None:
    """Keep logs out of the figures and of the terminal."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


async def _measure(
    folder: Path, broker: EmbeddedBroker, repeats: int, progress: Callable[[str], None]
) -> dict[str, float]:
    progress("starting 100 devices in 3 processes, 12,000 readings a second")
    fleets = [
        Fleet("modbus", MODBUS, tags=100, interval_s=1.0),
        Fleet("opc_ua", OPC_UA, tags=50, interval_s=0.5),
        Fleet("mqtt", MQTT, tags=50, interval_s=0.25, broker_port=broker.port),
    ]
    try:
        await asyncio.gather(*(fleet.start() for fleet in fleets))
        connects, healths = [], []
        for number in range(repeats):
            progress(f"connecting 100 devices, {number + 1} of {repeats}")
            async with _collecting(folder / f"connect{number}", fleets) as (collector, url, seconds):
                connects.append(seconds)
                healths.append(await _health(collector, url))
        figures = {
            "devices_100_connect_s": round(statistics.median(connects), 2),
            "health_100_s": round(statistics.median(healths), 3),
        }
        async with _collecting(folder / "flow", fleets) as (collector, _, _):
            progress(f"readings of 100 devices for {OFFERED_S:g} s")
            figures |= await _flow(collector, fleets)
            progress("one device of each protocol away, until its circuit is open, and back")
            figures["reconnect_s"] = round(await _reconnect(collector, fleets, broker), 2)
        return figures
    finally:
        await asyncio.gather(*(fleet.stop() for fleet in fleets))


def _config(fleets: list[Fleet]) -> Integrations:
    start = datetime.now(UTC) - timedelta(days=1)
    return Integrations.model_validate(
        {"site": "bench", "start": start, "window": "1h", "collector": {"port": 0}, "sources": sources(fleets)}
    )


@asynccontextmanager
async def _collecting(home: Path, fleets: list[Fleet]) -> AsyncIterator[tuple[Collector, str, float]]:
    """Yield a collector that has connected every device, the URL of its pages, and the seconds that took."""
    collector, stop = Collector(_config(fleets), home), asyncio.Event()
    began = time.perf_counter()
    running = asyncio.create_task(collector.run(stop, Doors()))
    try:
        await _until(_all_connected(collector.states.values()), running)
        seconds = time.perf_counter() - began
        yield collector, json.loads((home / "collector.json").read_text())["url"], seconds
    finally:
        stop.set()
        await running


async def _health(collector: Collector, url: str) -> float:
    """Return the seconds that /healthz/now takes, which asks every device first."""
    began_at = datetime.now(UTC)
    began = time.perf_counter()
    async with httpx.AsyncClient(timeout=_LIMIT_S) as client:
        page = await client.get(f"{url}/healthz/now")
    seconds = time.perf_counter() - began
    page.raise_for_status()
    unasked = [s.name for s in collector.states.values() if s.health_at is None or s.health_at < began_at]
    if unasked:
        raise RuntimeError(f"{len(unasked)} devices did not answer, among them {unasked[0]}")
    return seconds


async def _flow(collector: Collector, fleets: list[Fleet]) -> dict[str, float]:
    """Let all devices work for a minute; return what was stored, and what of it is missing."""
    await collector.pipeline.commit()
    before, process = collector.buffer.counts(), psutil.Process()
    counted_before = [(await fleet.ask("counts"))["counts"] for fleet in fleets]
    for fleet in fleets:
        await fleet.ask("work")
    cpu, began = process.cpu_times(), time.perf_counter()
    await asyncio.sleep(OFFERED_S)
    seconds, used = time.perf_counter() - began, process.cpu_times()
    for fleet in fleets:
        await fleet.ask("rest")
    counts = [await fleet.drained() for fleet in fleets]
    await collector.pipeline.commit()
    stored, lost = 0, {fleet.kind: 0 for fleet in fleets}
    now = collector.buffer.counts()
    for fleet, ended, began_at in zip(fleets, counts, counted_before, strict=True):
        for number, name in enumerate(fleet.names):
            gained = now[name].buffered - (before[name].buffered if name in before else 0)
            stored += gained
            if fleet.kind == "modbus":
                # polled: what counts is what was scheduled; the device goes on counting while it is polled
                lost[fleet.kind] += now[name].in_gaps - (before[name].in_gaps if name in before else 0)
            else:
                lost[fleet.kind] += max(0, (ended[number] - began_at[number]) * fleet.tags - gained)
    return {
        "collector_readings_per_s": round(stored / seconds),
        "collector_readings_lost": sum(lost.values()),
        **{f"{kind}_readings_lost": rows for kind, rows in lost.items()},
        "collector_cpu_share": round((used.user + used.system - cpu.user - cpu.system) / seconds, 2),
    }


async def _reconnect(collector: Collector, fleets: list[Fleet], broker: EmbeddedBroker) -> float:
    """Return the longest time from a device's return to its reading, over the protocols, circuits open before."""
    modbus, opc_ua, mqtt = fleets
    states = collector.states
    away = [states[modbus.names[0]], states[opc_ua.names[0]], *(states[name] for name in mqtt.names)]
    await modbus.ask("stop", device=0)
    await opc_ua.ask("stop", device=0)
    await asyncio.to_thread(broker.stop)
    await _until(lambda: all(state.circuit is Circuit.OPEN for state in away))
    comebacks: list[tuple[Callable[[], Awaitable[object]], list[SourceState]]] = [
        (lambda: modbus.ask("start", device=0), away[:1]),
        (lambda: opc_ua.ask("start", device=0), away[1:2]),
        (lambda: asyncio.to_thread(broker.start), away[2:]),
    ]
    waits = []
    for come_back, those in comebacks:
        await come_back()
        began = time.perf_counter()
        await _until(_all_connected(those))
        waits.append(time.perf_counter() - began)
    return max(waits)


def _all_connected(states: Iterable[SourceState]) -> Callable[[], bool]:
    return lambda: all(state.connected for state in states)


async def _until(condition: Callable[[], bool], running: asyncio.Task[Any] | None = None) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while not condition():  # a figure is waited for
            if running is not None and running.done():
                running.result()
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    figures = measure(3, lambda line: print(line, file=sys.stderr))  # noqa: T201
    sys.stdout.write(json.dumps(figures) + "\n")
