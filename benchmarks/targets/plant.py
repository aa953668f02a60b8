"""A small plant for the targets of transforming: sensors whose values wander, and faults planted among them.

Everything goes through a real buffer. One reading per sensor and second; each sensor has limits, a greatest plausible
change, and a time after which it counts as stuck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resources.core.clock import ManualClock, from_micros, to_micros
from resources.core.readings import ReadingBatch, readings_batch
from resources.integrations import Integrations
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.contents import WindowContents
from resources.window_buffer.reader import BufferReader

START = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
SOURCE = "line"
MINIMUM, MAXIMUM = 0.0, 1_000.0
MAX_RATE = 20.0
FLAT_AFTER_S = 10
FLAT_FOR_S = 25
_BASE, _SWING = 500.0, 30.0
_SECOND_US = 1_000_000

Floats = npt.NDArray[np.float64]


def configuration(sensors: int) -> Integrations:
    """Return a configuration of so many sensors of one source."""
    tags = [
        {
            "sensor_id": sensor_id(number),
            "unit": "Cel",
            "canonical_unit": "K",
            "minimum": MINIMUM,
            "maximum": MAXIMUM,
            "max_rate": MAX_RATE,
            "flat_after": f"{FLAT_AFTER_S}s",
            "address": 2 * number,
        }
        for number in range(sensors)
    ]
    source = {"kind": "modbus", "host": "localhost", "tags": tags}
    return Integrations.model_validate({"site": "bench", "start": START, "window": "5m", "sources": {SOURCE: source}})


def sensor_id(number: int) -> str:
    """Return the name of a sensor."""
    return f"plant/sensor_{number:04d}"


@dataclass(slots=True)
class Arriving:
    """What arrives in one second; faults change it before it goes into the buffer."""

    at: int
    """The second."""
    times_us: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int32]
    values: Floats
    missing: npt.NDArray[np.bool_]

    def again(self, sensor: int, value: float) -> None:
        """Let a sensor's reading of this second come a second time, with this value."""
        self.times_us = np.append(self.times_us, self.times_us[sensor])
        self.keys = np.append(self.keys, self.keys[sensor])
        self.values = np.append(self.values, value)
        self.missing = np.append(self.missing, False)


def seconds(sensors: int, until: int) -> Iterator[Arriving]:
    """Yield the faultless readings of every second: values wander without a jump and never stand still."""
    numbers, rng = np.arange(sensors), np.random.default_rng(7)
    for at in range(until):
        wander = _BASE + _SWING * np.sin(numbers + at / 20) + rng.uniform(-2, 2, sensors)
        times = np.full(sensors, to_micros(START) + at * _SECOND_US)
        yield Arriving(at, times, numbers.astype(np.int32), wander, np.zeros(sensors, dtype=bool))


@dataclass(frozen=True, slots=True)
class Fault:
    """A planted fault: where, from when to when, and of which kind."""

    kind: str
    sensor: int
    at: int
    until: int

    def covers(self, sensor: str, time: datetime) -> bool:
        """Return whether a row is one of this fault's."""
        shift = SHIFTS.get(self.kind, timedelta(0))
        first, last = (START + timedelta(seconds=second) + shift for second in (self.at, self.until))
        return sensor == sensor_id(self.sensor) and first <= time <= last


SHIFTS = {"time in the future": timedelta(minutes=20), "time before the start": timedelta(days=-2)}
"""Kind of fault -> by how much it moves the time of its reading."""

_Plant = Callable[[Arriving, int], None]


def _value(value: float) -> _Plant:
    def plant(arriving: Arriving, sensor: int) -> None:
        arriving.values[sensor] = value

    return plant


def _jump(arriving: Arriving, sensor: int) -> None:
    arriving.values[sensor] += 300.0


def _no_value(arriving: Arriving, sensor: int) -> None:
    arriving.missing[sensor] = True


def _sent_twice(arriving: Arriving, sensor: int) -> None:
    arriving.again(sensor, float(arriving.values[sensor]))


def _sent_twice_otherwise(arriving: Arriving, sensor: int) -> None:
    arriving.again(sensor, float(arriving.values[sensor]) + 1.0)


def _moved(shift: timedelta) -> _Plant:
    def plant(arriving: Arriving, sensor: int) -> None:
        arriving.times_us[sensor] += shift // timedelta(microseconds=1)

    return plant


KINDS: dict[str, _Plant] = {
    "not a number": _value(np.nan),
    "infinite": _value(np.inf),
    "below the minimum": _value(MINIMUM - 40.0),
    "above the maximum": _value(MAXIMUM + 40.0),
    "no value, status good": _no_value,
    "jump": _jump,
    "stuck": _value(_BASE),
    "sent twice": _sent_twice,
    "sent twice with another value": _sent_twice_otherwise,
    **{kind: _moved(shift) for kind, shift in SHIFTS.items()},
}
"""Kind of fault -> what it does to a second's readings."""

TWICE = "sent twice"
"""A reading that comes again as it was: it is stored once and counted, and no row shows it."""


def faults(sensors: int, until: int) -> list[Fault]:
    """Return faults of all kinds in turn, three a sensor, far enough apart that none hides another."""
    kinds, found = cycle(KINDS), []
    for sensor in range(sensors):
        for at in range(40, until - FLAT_FOR_S, 80):
            kind = next(kinds)
            found.append(Fault(kind, sensor, at, at + FLAT_FOR_S if kind == "stuck" else at))
    return found


def windows(folder: Path, config: Integrations, arriving: Iterator[Arriving]) -> list[WindowContents]:
    """Return what the buffer holds of these seconds once all windows are closed."""
    clock = ManualClock(START)
    catalog = config.catalog()
    keys = np.fromiter(catalog.of_source(SOURCE).values(), dtype=np.int32)
    with WindowBuffer(
        folder, collector=config.collector.name, grid=config.grid, start=START, catalog=catalog, clock=clock
    ) as buffer:
        for one in arriving:
            received = to_micros(START) + one.at * _SECOND_US + 50_000
            batch = readings_batch(one.times_us, keys[one.keys], one.values, 0, received, missing=one.missing)
            buffer.append(ReadingBatch(SOURCE, readings=batch))
            buffer.commit()
            clock.advance(1)
        buffer.close_all()
    reader = BufferReader(folder)
    return [reader.read(window.window_start) for window in reader.windows()]


def with_faults(arriving: Iterator[Arriving], planted: list[Fault]) -> Iterator[Arriving]:
    """Yield the seconds with the faults in them."""
    for one in arriving:
        for fault in planted:
            if fault.at <= one.at <= fault.until:
                KINDS[fault.kind](one, fault.sensor)
        yield one


def instant(micros: int) -> datetime:
    """Return a time as rows have it."""
    return from_micros(micros)
