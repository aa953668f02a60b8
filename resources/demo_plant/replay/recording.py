"""A recording: one row an instant, one column a sensor.

The format is that of the Skoltech Anomaly Benchmark: CSV separated by `;`, first column `datetime` without zone (taken
as UTC), decimal points, no empty cells. Seconds may be missing and values may repeat.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resources.core.clock import to_micros
from resources.core.errors import ConfigError
from resources.demo_plant.plant import SENSORS

_BENCH_UNITS = {
    "Accelerometer1RMS": "[g]",
    "Accelerometer2RMS": "[g]",
    "Current": "A",
    "Pressure": "bar",
    "Temperature": "Cel",
    "Thermocouple": "Cel",
    "Voltage": "V",
    "Volume Flow RateRMS": "l/min",
}
"""Units of the benchmark's columns, which its files do not state."""

_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_.:/\-]+")


@dataclass(frozen=True)
class Recording:
    """Times in microseconds since 1970 UTC, strictly ascending; `values[row, column]`."""

    columns: tuple[str, ...]
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.times_us)

    def sensor_ids(self, prefix: str) -> tuple[str, ...]:
        """Return the sensor ids of the columns: `<prefix>.<column>`, what an id may not hold replaced by `_`."""
        return tuple(f"{prefix}.{_NOT_IN_AN_ID.sub('_', column)}" for column in self.columns)

    def units(self) -> tuple[str, ...]:
        """Return the units of the columns: the demo plant's and the benchmark's are known, others are `1`."""
        plant = {sensor.sensor_id: sensor.tag.unit for sensors in SENSORS.values() for sensor in sensors}
        return tuple(plant.get(column, _BENCH_UNITS.get(column, "1")) for column in self.columns)


def read_recording(file: Path, *, rows: int | None = None) -> Recording:
    """Return the recording in `file`, its first `rows` rows if given.

    Raises:
        ConfigError: The file cannot be read, or is not of this format; the message names file and line.
    """
    try:
        with file.open(newline="", encoding="utf-8") as text:
            lines = list(csv.reader(text, delimiter=";"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"recording {file}: cannot be read ({error}): name a CSV file") from error
    if len(lines) < 2 or lines[0][:1] != ["datetime"] or len(lines[0]) < 2:
        raise ConfigError(f"recording {file}: needs a header `datetime;<column>;...` and at least one row")
    header, body = lines[0], lines[1 : None if rows is None else rows + 1]
    parsed = [_row(file, number, line, len(header)) for number, line in enumerate(body, start=2)]
    times = np.array([time_us for time_us, _ in parsed], dtype=np.int64)
    if (np.diff(times) <= 0).any():
        late = int(np.argmax(np.diff(times) <= 0)) + 3
        raise ConfigError(f"recording {file}:{late}: its time is not after the one before; sort the file by datetime")
    return Recording(tuple(header[1:]), times, np.array([values for _, values in parsed], dtype=np.float64))


def _row(file: Path, number: int, cells: Sequence[str], width: int) -> tuple[int, list[float]]:
    try:
        if len(cells) != width:
            raise ValueError(f"{len(cells)} cells where the header has {width}")
        instant = datetime.fromisoformat(cells[0])
        values = [float(cell) for cell in cells[1:]]
    except ValueError as error:
        raise ConfigError(f"recording {file}:{number}: {error}") from error
    if not all(math.isfinite(value) for value in values):
        raise ConfigError(f"recording {file}:{number}: holds NaN or infinity")
    return to_micros(instant if instant.tzinfo else instant.replace(tzinfo=UTC)), values
