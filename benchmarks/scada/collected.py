"""Readings per second of one source through a whole collector, into its buffer and synced to the disk."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from resources.integrations import Integrations
from sensors.collector.assembly import Collector, Doors


async def collected_per_s(source: dict[str, Any], home: Path, *, seconds: float, limit_s: float) -> float:
    """Return readings/s over `seconds`, from the first reading on.

    Args:
        source: Configuration of the source.
        home: Folder of the buffer.
        seconds: How long is measured.
        limit_s: Longest wait for the first reading.

    Raises:
        TimeoutError: None came within `limit_s`.
    """
    start = datetime.now(UTC) - timedelta(days=1)
    config = {"site": "bench", "start": start, "window": "1h", "sources": {"plant": source}}
    collector, stop = Collector(Integrations.model_validate(config), home), asyncio.Event()
    running = asyncio.create_task(collector.run(stop, Doors(serve=False)))
    async with asyncio.timeout(limit_s):
        while not collector.flow.rows:  # a figure is waited for
            await asyncio.sleep(0.001)
    rows, began = collector.flow.rows, time.perf_counter()
    await asyncio.sleep(seconds)
    rows, took = collector.flow.rows - rows, time.perf_counter() - began
    stop.set()
    await running
    return rows / took
