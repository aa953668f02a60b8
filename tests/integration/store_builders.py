"""Windows for the tests of the store, in few words."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa

from resources.core.clock import to_micros
from resources.databases.timescale.window_store.window import (
    REJECTED_ROWS_SCHEMA,
    TEXT_ROWS_SCHEMA,
    ReadingRows,
    SensorOrigin,
    WindowToStore,
)

START = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
END = START + timedelta(minutes=15)

SENSORS = (
    SensorOrigin("boiler_1/steam_flow", "opc_ua_1", "kg/h", "kg/s"),
    SensorOrigin("boiler_1/pressure", "modbus_1", "bar", "bar"),
)

Row = tuple[int, int, float | None]
"""Position of the sensor, seconds after the window's start, value."""


def rows(readings: Sequence[Row], *, received_s: float = 1.0, status: int = 0) -> ReadingRows:
    """Return readings, received `received_s` after their time."""
    ordered = sorted(readings, key=lambda r: (r[0], r[1]))
    times = np.array([to_micros(START) + r[1] * 1_000_000 for r in ordered], dtype=np.int64)
    values = np.array([np.nan if r[2] is None else r[2] for r in ordered], dtype=np.float64)
    statuses = np.where(np.isnan(values), 2, status).astype(np.int16)
    return ReadingRows(
        sensor=np.array([r[0] for r in ordered], dtype=np.int32),
        time_us=times,
        value=values,
        calibrated_value=values * 2,
        received_us=times + int(received_s * 1_000_000),
        quality_score=np.where(statuses == 2, 0, 100).astype(np.float32),
        status=statuses,
        sequence=np.arange(1, len(ordered) + 1, dtype=np.int64),
        defects=np.zeros(len(ordered), dtype=np.int16),
    )


def window(
    readings: Sequence[Row] | ReadingRows = (), revision: int = 1, *, received_s: float = 1.0, **changes: Any
) -> WindowToStore:
    """Return a complete window of the collector `edge` with these readings."""
    values: dict[str, Any] = {
        "site": "north",
        "collector": "edge",
        "window_start": START,
        "window_end": END,
        "revision": revision,
        "complete": True,
        "partial": False,
        "run_id": f"run-{revision}",
        "sensors": SENSORS,
        "readings": readings if isinstance(readings, ReadingRows) else rows(readings, received_s=received_s),
        "texts": TEXT_ROWS_SCHEMA.empty_table(),
        "rejects": REJECTED_ROWS_SCHEMA.empty_table(),
        "deduplicated": {},
    }
    return WindowToStore(**(values | changes))


def texts(found: Sequence[tuple[int, str]], *, received_s: float = 1.0, status: str = "good") -> pa.Table:
    """Return text readings of `boiler_1/mode`: seconds after the window's start, and the text."""
    return pa.Table.from_pylist(
        [
            {
                "time": START + timedelta(seconds=second),
                "sensor_id": "boiler_1/mode",
                "value": text,
                "status": status,
                "source": "opc_ua_1",
                "received_at": START + timedelta(seconds=second + received_s),
                "sequence": 1000 + n,
            }
            for n, (second, text) in enumerate(found)
        ],
        schema=TEXT_ROWS_SCHEMA,
    )


def rejects(found: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rejected rows; what a row does not say is filled in."""
    base = {"time": START, "sensor_id": "boiler_1/pressure", "source": "modbus_1", "raw": "{}", "reasons": ["no"]}
    return pa.Table.from_pylist(
        [{**base, "sequence": 2000 + n, **row} for n, row in enumerate(found)], schema=REJECTED_ROWS_SCHEMA
    )


def stored(url: str) -> list[tuple[str, int, float | None]]:
    """Return what the public view shows: sensor, seconds after the window's start, value; by both."""
    found = query(url, "SELECT sensor_id, time, value FROM scada.sensor_readings ORDER BY sensor_id, time")
    return [(sensor, int((time - START).total_seconds()), value) for sensor, time, value in found]


def until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    """Return as soon as a condition holds; it is asked again and again."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come about"
        time.sleep(0.01)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        return connection.execute(statement).fetchall()
