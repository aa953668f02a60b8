"""A writer to be killed: appends and commits as fast as it can, and prints the number of each acknowledged batch."""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import numpy as np
import structlog

from resources.core.clock import to_micros
from resources.core.readings import ReadingBatch, readings_batch
from resources.core.tags import Sensor, SensorCatalog
from resources.core.windows import WindowGrid
from resources.window_buffer.buffer import WindowBuffer

SENSORS = 20


def open_buffer(folder: Path) -> WindowBuffer:
    return WindowBuffer(
        folder,
        collector="killed",
        grid=WindowGrid(timedelta(minutes=1)),
        start=datetime(2020, 1, 1, tzinfo=UTC),
        catalog=SensorCatalog(Sensor(f"s{n}", "Cel", "line") for n in range(SENSORS)),
    )


def acknowledge(number: int) -> None:
    # one write, so that a kill leaves a line whole or not there
    os.write(1, f"{number}\n".encode())


def write(folder: Path, first: int) -> None:
    """Append from this thread while another commits and ticks, as the collector does."""
    buffer = open_buffer(folder)

    def commit() -> None:
        for turn in count():
            for done in buffer.commit().acknowledgements:
                done()
            if turn % 5 == 0:
                buffer.tick()

    threading.Thread(target=commit, daemon=True).start()
    for number in count(first):
        while buffer.pending_rows > 200:
            time.sleep(0)
        now = to_micros(datetime.now(UTC))
        times = now - np.arange(SENSORS) * 4_000_000  # 80 s: two windows, of which one has often closed
        batch = readings_batch(times, np.arange(SENSORS), np.full(SENSORS, number), 0, now)
        buffer.append(ReadingBatch("line", readings=batch, acknowledge=lambda number=number: acknowledge(number)))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    write(Path(sys.argv[1]), int(sys.argv[2]))
