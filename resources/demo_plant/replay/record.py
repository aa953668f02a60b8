"""`python -m resources.demo_plant.replay.record FILE`: a recording of the demo plant with the traits of a real one.

Seconds are missing, sensors of coarse resolution repeat values, and one goes below zero. The file is the same for the
same seed and number of rows; `tests/data/recording.csv` was made with the defaults.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from resources.core.clock import from_micros, to_micros
from resources.demo_plant.plant import SENSORS, Plant

_COLUMNS = {
    "BLR1.STEAM.FLOW": 0.0,
    "BLR1.STEAM.PRESS": 0.0,
    "BLR1.STEAM.TEMP": 0.0,
    "BLR1.FUEL.FLOW": 0.0,
    "BLR1.FLUE.O2": 0.05,
    "BLR1.DRUM.LEVEL": 0.5,
    "BLR1.FLAME1.INT": 1.0,
    "FUR1.PRESS": 0.5,
}
"""Sensor -> resolution; 0 for six significant digits."""

_START = datetime(2026, 3, 1, 10, 14, 33, tzinfo=UTC)
_SKIPPED_SHARE = 0.03


def record(seed: int, rows: int) -> str:
    """Return the recording as text."""
    generator = np.random.default_rng(seed)
    seconds = np.arange(rows * 2, dtype=np.int64)
    kept = seconds[generator.random(len(seconds)) >= _SKIPPED_SHARE][:rows]
    times = to_micros(_START) + kept * 1_000_000
    plant = Plant(seed)
    columns = []
    for sensor_id, resolution in _COLUMNS.items():
        source, index = _place(sensor_id)
        values = plant.measure(source, times)[:, index]
        columns.append(np.round(values / resolution) * resolution if resolution else values)
    lines = ["datetime;" + ";".join(_COLUMNS)]
    for row, time_us in enumerate(times.tolist()):
        stamp = from_micros(time_us).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(";".join([stamp, *(f"{column[row]:.6g}" for column in columns)]))
    return "\n".join(lines) + "\n"


def _place(sensor_id: str) -> tuple[str, int]:
    for source, sensors in SENSORS.items():
        for index, sensor in enumerate(sensors):
            if sensor.sensor_id == sensor_id:
                return source, index
    raise KeyError(sensor_id)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m resources.demo_plant.replay.record", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--rows", type=int, default=300)
    options = parser.parse_args(arguments)
    options.file.write_text(record(options.seed, options.rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
