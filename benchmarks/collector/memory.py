"""How much memory the collector takes: 1,000,000 readings of one window through the whole process.

Everything is as `gl collect` runs it (buffer, group commit, live view, pages), in a process of its own; only the
connector is replaced by one that emits as fast as the pipeline takes. `python -m benchmarks.collector.memory`
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from resources.core.clock import Clock, to_micros
from resources.core.readings import ReadingBatch, readings_batch
from resources.core.tags import SensorCatalog
from resources.integrations import Integrations
from resources.scada.connector import Emit, ScadaClient, SourceFacts, StatusSink

SENSORS = 1_000
READINGS = 1_000_000
_MIB = 1_048_576


def run(*, progress: Callable[[str], None] | None = None) -> dict[str, float]:
    """Return `rss_mb`, the highest of the process, and `rss_growth_mb`, that less its size when idle."""
    if progress is not None:
        progress("collector takes in 1,000,000 readings of one window")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.collector.memory", "--child", folder],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
            env={name: value for name, value in os.environ.items() if name != "GL_DATABASE_URL"},
        )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


class _Feeder:
    """A connector that emits READINGS of one window, a thousand at a time."""

    name, kind = "plant", "mqtt"

    def __init__(self, catalog: SensorCatalog) -> None:
        self._keys = np.arange(len(catalog), dtype=np.int32)
        self.go, self.done = asyncio.Event(), asyncio.Event()

    async def run(self, emit: Emit, status: StatusSink) -> None:
        status.connected({"endpoint": "benchmark"})
        start_us = to_micros(datetime.now(UTC).replace(minute=0, second=0, microsecond=0))
        chance = np.random.default_rng(1)
        await self._emit(emit, status, start_us, chance)
        await self.go.wait()
        for step in range(1, READINGS // SENSORS):
            await self._emit(emit, status, start_us + step, chance)
        self.done.set()
        await asyncio.Event().wait()

    async def probe(self) -> SourceFacts:
        return SourceFacts(self.name, self.kind, "benchmark", "none")

    async def _emit(self, emit: Emit, status: StatusSink, time_us: int, chance: np.random.Generator) -> None:
        rows = len(self._keys)
        status.counted(sent=rows)
        await emit(
            ReadingBatch(
                self.name,
                readings=readings_batch(np.full(rows, time_us), self._keys, chance.random(rows), 0, time_us),
                acknowledge=lambda: None,
            )
        )


def _config() -> Integrations:
    tags = [{"sensor_id": f"s{n}", "unit": "bar", "topic": f"plant/{n}"} for n in range(SENSORS)]
    broker = {"host": "127.0.0.1", "tls": False, "insecure_plain_tcp": True}
    source = {"kind": "mqtt", "client_id": "c", "broker": broker, "topic_filters": ["#"], "tags": tags}
    start = datetime.now(UTC) - timedelta(days=1)
    return Integrations.model_validate(
        {"site": "bench", "start": start, "window": "1h", "collector": {"port": 0}, "sources": {"plant": source}}
    )


async def _measure(folder: Path) -> dict[str, float]:
    from resources.scada.modbus import client as _modbus  # noqa: F401  # as where all three protocols are configured
    from resources.scada.mqtt import client as _mqtt  # noqa: F401
    from sensors.collector.assembly import Collector
    from sensors.collector.memory import keep_pandas_out

    keep_pandas_out()
    feeders: list[_Feeder] = []

    def build(_: Integrations, catalog: SensorCatalog, __: Clock) -> list[ScadaClient]:
        feeders.append(_Feeder(catalog))
        return [feeders[-1]]

    collector = Collector(_config(), folder, build=build)
    stop, process = asyncio.Event(), psutil.Process()
    running = asyncio.create_task(collector.run(stop))
    while collector.flow.rows < SENSORS:  # nobody but the figure says so
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)
    idle = peak = process.memory_info().rss
    began = collector.clock.monotonic()
    feeders[0].go.set()
    while not feeders[0].done.is_set() or collector.flow.rows < READINGS:
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.02)
    seconds = collector.clock.monotonic() - began
    peak = max(peak, process.memory_info().rss)
    stop.set()
    await running
    return {
        "rss_mb": round(peak / _MIB, 1),
        "rss_idle_mb": round(idle / _MIB, 1),
        "rss_growth_mb": round((peak - idle) / _MIB, 1),
        "collector_take_in_per_s": round(READINGS / seconds),
    }


def main(arguments: list[str]) -> dict[str, Any]:
    """Measure in this process if told so, else in a new one."""
    return asyncio.run(_measure(Path(arguments[1]))) if arguments[:1] == ["--child"] else run()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1:])) + "\n")
