"""The window buffer against the bare disk: durable appends, reading a window back, and memory while a window fills.

`python -m benchmarks.collector.buffer` prints the figures; `gl bench store` takes them from `run`.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import structlog

from resources.core.clock import ManualClock, to_micros
from resources.core.readings import ReadingBatch, readings_batch
from resources.core.tags import Sensor, SensorCatalog
from resources.core.windows import WindowGrid
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.reader import BufferReader

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
SENSORS = 1_000
SECONDS = 1_000
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def run(
    *, rounds: int = 5, folder: Path | None = None, progress: Callable[[str], None] | None = None
) -> dict[str, float]:
    """Return the buffer's figures; ratios are medians over `rounds`, both sides measured in turn.

    Args:
        rounds: How often each side is measured.
        folder: Where to write; the disk of the temporary folder if None.
        progress: Called with one line per round.

    Returns:
        `buffer_vs_disk` (durable readings/s over a bare sequential write of the same bytes with the same fsyncs),
        `buffer_append_per_s`, `disk_append_per_s`, `buffer_read_per_s` (a window of 1,000,000 readings), the same
        with every reading once more (`buffer_read_duplicated_per_s`, distinct readings counted), `buffer_rss_growth_mb`
        (while 1,000,000 readings of one window are taken in), `buffer_bytes_per_reading`.
    """
    say = progress or (lambda line: None)
    with tempfile.TemporaryDirectory(dir=folder, prefix="gl-bench-") as scratch:
        place = Path(scratch)
        found = {**_append_figures(place, rounds, say), **_read_figures(place, rounds, say)}
        found["buffer_rss_growth_mb"] = _rss_growth_mb(place)
        say(f"memory: {found['buffer_rss_growth_mb']:.1f} MB more over 1,000,000 readings")
    return found


@contextmanager
def _buffer(folder: Path, window: timedelta) -> Iterator[tuple[WindowBuffer, ManualClock]]:
    shutil.rmtree(folder, ignore_errors=True)
    clock = ManualClock(START)
    catalog = SensorCatalog(Sensor(f"sensor-{n:04d}", "Cel", f"source-{n % 4}") for n in range(SENSORS))
    buffer = WindowBuffer(
        folder, collector="bench", grid=WindowGrid(window), start=START, catalog=catalog, clock=clock, max_bytes=1 << 34
    )
    try:
        yield buffer, clock
    finally:
        buffer.close()


def _batches(rows: int = SENSORS) -> list[pa.RecordBatch]:
    """Return 1,000 sensors x 1,000 s in order of arrival, `rows` readings a batch."""
    generator = np.random.default_rng(7)
    keys = np.tile(np.arange(SENSORS, dtype=np.int32), SECONDS)
    at = np.repeat(np.arange(SECONDS, dtype=np.int64) * 1_000_000, SENSORS) + generator.integers(0, 900_000, len(keys))
    times = to_micros(START) + at
    values = generator.normal(80, 5, len(keys))
    return [
        readings_batch(times[a : a + rows], keys[a : a + rows], values[a : a + rows], 0, times[a : a + rows] + 50_000)
        for a in range(0, len(keys), rows)
    ]


def _append(folder: Path, batches: list[pa.RecordBatch], window: timedelta) -> float:
    """Return the seconds of appending and committing every batch by itself."""
    with _buffer(folder, window) as (buffer, clock):
        gc.collect()
        begun = time.perf_counter()
        for number, batch in enumerate(batches):
            buffer.append(ReadingBatch("source-0", readings=batch))
            buffer.commit()
            if number % 100 == 99:
                # the windows' clock follows the readings, as it does in life
                clock.advance(SECONDS * 100 / len(batches))
                buffer.tick()
        return time.perf_counter() - begun


def _bare(path: Path, chunks: list[bytes]) -> float:
    """Return the seconds of writing the chunks one after the other, each with its fsync."""
    begun = time.perf_counter()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for chunk in chunks:
        os.write(descriptor, chunk)
        os.fdatasync(descriptor)
    os.close(descriptor)
    taken = time.perf_counter() - begun
    path.unlink()
    return taken


def _append_figures(place: Path, rounds: int, say: Callable[[str], None]) -> dict[str, float]:
    batches = _batches()
    ratios, buffer_s, disk_s = [], [], []
    size = 0
    for number in range(rounds):
        ours = _append(place / "buffer", batches, MINUTE)
        written = b"".join(path.read_bytes() for path in sorted((place / "buffer" / "segments").iterdir()))
        size, step = len(written), -(-len(written) // len(batches))
        bare = _bare(place / "bare", [written[a : a + step] for a in range(0, size, step)])
        ratios.append(bare / ours)
        buffer_s.append(ours)
        disk_s.append(bare)
        say(f"append {number + 1}/{rounds}: buffer {ours:.2f} s, bare disk {bare:.2f} s")
    total = SENSORS * SECONDS
    return {
        "buffer_vs_disk": statistics.median(ratios),
        "buffer_append_per_s": total / statistics.median(buffer_s),
        "disk_append_per_s": total / statistics.median(disk_s),
        "buffer_bytes_per_reading": size / total,
    }


def _read_figures(place: Path, rounds: int, say: Callable[[str], None]) -> dict[str, float]:
    figures = {}
    for name, times in (("buffer_read_per_s", 1), ("buffer_read_duplicated_per_s", 2)):
        folder = place / name
        with _buffer(folder, HOUR) as (buffer, clock):
            for repeat in range(times):
                for batch in _batches():
                    buffer.append(ReadingBatch("source-0", readings=batch))
                    buffer.commit()
                    clock.advance(1 - repeat)
            clock.advance(2 * HOUR.total_seconds())
            buffer.tick()
        taken = []
        for number in range(rounds):
            begun = time.perf_counter()
            contents = BufferReader(folder).read(START)
            taken.append(time.perf_counter() - begun)
            if contents.readings.num_rows != SENSORS * SECONDS:
                raise AssertionError(f"{contents.readings.num_rows} readings came back")
            say(f"{name} {number + 1}/{rounds}: {taken[-1]:.3f} s")
        figures[name] = SENSORS * SECONDS / statistics.median(taken)
    return figures


def _rss_growth_mb(place: Path) -> float:
    """Measure in a process of its own, which makes each batch when it appends it, as a connector does."""
    command = [sys.executable, "-m", "benchmarks.collector.buffer", "--rss", str(place / "rss")]
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root)
    return float(json.loads(answer.stdout.splitlines()[-1])["rss_growth_mb"])


def _measure_rss(folder: Path) -> float:
    process = psutil.Process()
    values = np.zeros(10_000)
    keys = np.tile(np.arange(SENSORS, dtype=np.int32), 10)
    with _buffer(folder, HOUR) as (buffer, clock):
        idle = process.memory_info().rss
        most = idle
        for second in range(0, SECONDS, 10):
            times = to_micros(START) + np.repeat(np.arange(second, second + 10) * 1_000_000, SENSORS)
            buffer.append(ReadingBatch("source-0", readings=readings_batch(times, keys, values, 0, times)))
            buffer.commit()
            clock.advance(10)
            most = max(most, process.memory_info().rss)
        return (most - idle) / 1e6


def _show(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if sys.argv[1:2] == ["--rss"]:
        sys.stdout.write(json.dumps({"rss_growth_mb": _measure_rss(Path(sys.argv[2]))}) + "\n")
    else:
        figures = run(progress=_show)
        sys.stdout.write(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2) + "\n")
