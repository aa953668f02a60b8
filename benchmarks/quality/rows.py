"""The rows of `gl bench quality`: a million readings with planted faults, and the pass over them written by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gl_assets.transforms.pipeline.columns import Columns
from resources.core.clock import to_micros
from resources.core.readings import TIMESTAMP, ReadingBatch, Status, readings_batch
from resources.core.rules import BIT, Rule
from resources.core.tags import Sensor
from resources.integrations import Integrations

SENSORS = 1_000
PER_SENSOR = 1_000

START = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)

FAULTS: tuple[Rule, ...] = ("not_a_number", "required", "infinite", "range", "rate_of_change", "too_old", "duplicate")
"""What is planted, each in its own rows."""

EACH = 500
"""Rows of each fault."""

LOW, HIGH, MAX_RATE, LATE_US = -100.0, 1000.0, 300.0, 60_000_000

Floats = npt.NDArray[np.float64]


def make_config() -> Integrations:
    """Return a configuration of 1,000 tags with limits, a greatest rate, a canonical unit and a calibration each."""
    ids = [f"plant/boiler_{n % 4}/sensor_{n:04d}" for n in range(SENSORS)]
    limits = {"unit": "Cel", "canonical_unit": "K", "minimum": LOW, "maximum": HIGH, "max_rate": MAX_RATE}
    tags = [{"sensor_id": name, "address": 2 * n, **limits} for n, name in enumerate(ids)]
    calibrations = [
        {
            "sensor_id": name,
            "certificate": f"C-{n}",
            "valid_from": START - timedelta(days=30),
            "linear": {"factor": 1.0 + n / 1e6, "offset": 0.01},
        }
        for n, name in enumerate(ids)
    ]
    sources = {"plc": {"kind": "modbus", "host": "localhost", "tags": tags}}
    return Integrations.model_validate(
        {"site": "bench", "start": START, "window": "30m", "sources": sources, "calibrations": calibrations}
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """Readings in the order they came in, and what was planted in them."""

    batch: ReadingBatch
    sensors: tuple[Sensor, ...]
    planted: dict[Rule, npt.NDArray[np.int64]]
    """Rule -> places, in order of arrival, of the readings that break it."""


def make_rows(config: Integrations, per_sensor: int = PER_SENSOR) -> Rows:
    """Return the readings: noise around 400 Cel, each second one of each sensor, and 500 of each fault.

    A duplicate is a reading that comes a second late: at the time of the one before it, with another value.

    Args:
        config: As `make_config` gives it.
        per_sensor: Seconds.
    """
    rng = np.random.default_rng(11)
    sensor = np.tile(np.arange(SENSORS, dtype=np.int32), per_sensor)
    time_us = to_micros(START) + np.repeat(np.arange(per_sensor, dtype=np.int64), SENSORS) * 1_000_000
    value = rng.normal(400.0, 25.0, len(sensor))
    received = time_us + 50_000
    # no two faults in neighbouring seconds of a sensor: one must not hide the other
    seconds = np.arange(3, per_sensor - 1, 3)
    chosen = rng.choice(len(seconds) * SENSORS, len(FAULTS) * EACH, replace=False)
    places = seconds[chosen // SENSORS] * SENSORS + chosen % SENSORS
    at = dict(zip(FAULTS, places.reshape(len(FAULTS), EACH), strict=True))
    value[at["not_a_number"]] = np.nan
    value[at["infinite"]] = np.inf
    value[at["range"]] = 5000.0
    value[at["rate_of_change"]] = 950.0
    received[at["too_old"]] += 2 * LATE_US
    time_us[at["duplicate"]] -= 1_000_000
    missing = np.zeros(len(sensor), dtype=bool)
    missing[at["required"]] = True
    readings = readings_batch(time_us, sensor, value, Status.GOOD, received, missing=missing)
    return Rows(ReadingBatch("plc", readings=readings), config.catalog().sensors, at)


def shares_found(good: Columns, codes: npt.NDArray[np.int32], rejected: pa.Table, rows: Rows) -> dict[str, float]:
    """Return rule -> share of its planted readings that were found: lowered in the table, or rejected."""
    gone = rejected.column("sequence").to_numpy()
    share: dict[str, float] = {}
    for rule, places in rows.planted.items():
        lowered = good.sequence[(codes >> 2 & BIT[rule]) != 0]
        share[rule] = float(np.isin(places, np.concatenate([gone, lowered])).mean())
    return share


@dataclass(frozen=True, slots=True)
class ByHand:
    """What the pass by hand works on: integer-coded columns in order of arrival, a row of constants per sensor."""

    sensor: npt.NDArray[np.int32]
    time_us: npt.NDArray[np.int64]
    received_us: npt.NDArray[np.int64]
    value: Floats
    status: npt.NDArray[np.uint8]
    gain: Floats
    zero: Floats
    low: Floats
    high: Floats
    rate: Floats

    @classmethod
    def of(cls, rows: Rows) -> ByHand:
        """Return the columns of the readings."""
        batch = rows.batch.readings
        assert batch is not None

        def column(name: str) -> npt.NDArray[Any]:
            found = batch.column(name)
            values: npt.NDArray[Any] = (found.cast(pa.int64()) if found.type == TIMESTAMP else found).to_numpy(
                zero_copy_only=False
            )
            return values

        return cls(
            column("sensor_key"),
            column("time"),
            column("received_at"),
            column("value"),
            column("status"),
            1.0 + np.arange(SENSORS) / 1e6,
            np.full(SENSORS, 0.01 + 273.15),
            np.full(SENSORS, LOW),
            np.full(SENSORS, HIGH),
            np.full(SENSORS, MAX_RATE / 1e6),
        )

    def run(self) -> tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[np.float32], npt.NDArray[np.int8]]:
        """Sort; calibrate; judge range, rate of change and duplicates; score; level: one pass, nothing explained."""
        order = np.argsort(self.sensor.astype(np.int64) << 32 | (self.time_us - self.time_us.min()), kind="stable")
        sensor, time, value, status = self.sensor[order], self.time_us[order], self.value[order], self.status[order]
        late = (self.received_us - self.time_us > LATE_US)[order]
        calibrated = value * self.gain[sensor] + self.zero[sensor]
        valid = (value >= self.low[sensor]) & (value <= self.high[sensor])
        same = sensor[1:] == sensor[:-1]
        apart = np.diff(time)
        quick = np.zeros(len(value), dtype=bool)
        quick[1:] = same & (np.abs(np.diff(value)) > self.rate[sensor[1:]] * apart)
        twice = np.zeros(len(value), dtype=bool)
        twice[1:] = same & (apart == 0)
        score = np.where(valid & (status == Status.GOOD), np.float32(40), np.float32(0))
        score += np.where(status < Status.BAD, np.float32(30), np.float32(0))
        score += np.float32(20) - np.float32(10) * quick - np.float32(10) * late
        score += np.where(twice, np.float32(0), np.float32(10))
        level = np.full(len(score), 4, dtype=np.int8)
        for code, least in ((3, 40.0), (2, 60.0), (1, 80.0), (0, 95.0)):
            level[score >= least] = code
        return calibrated, valid, score, level
