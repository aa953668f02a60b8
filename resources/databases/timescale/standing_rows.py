"""Which of some readings stand in the tables already: what makes filling from history repeatable. psycopg and NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from resources.core.clock import to_micros
from resources.databases.timescale.binary import POSTGRES_EPOCH_US
from resources.databases.timescale.conflicts import same_value
from resources.databases.timescale.readings_table import Window, fetch


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings by name of sensor; columns of one length."""

    sensor_ids: Sequence[str]
    sensor: npt.NDArray[np.int32]
    """Position in sensor_ids."""
    time_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    """NaN: no value."""


def standing_numbers(connection: psycopg.Connection, window: Window, readings: Readings) -> npt.NDArray[np.bool_]:
    """Return which readings stand in the window with the same value, whoever stored them."""
    stands = np.zeros(len(readings.time_us), dtype=np.bool_)
    keys: dict[str, int] = dict(
        connection.execute(
            "SELECT sensor_id, sensor_key FROM scada.sensors WHERE sensor_id = ANY(%s)", (list(readings.sensor_ids),)
        ).fetchall()
    )
    if not keys or not len(stands):
        return stands
    stored = fetch(connection, window, sensor_keys=list(keys.values()))
    start = to_micros(window.start) - POSTGRES_EPOCH_US
    theirs = stored.keys(start)
    order = np.argsort(theirs, kind="stable")
    theirs, values = theirs[order], stored.value[order]
    if not len(theirs):
        return stands
    key_of = np.array([keys.get(sensor_id, -1) for sensor_id in readings.sensor_ids], dtype=np.int64)
    mine = (key_of[readings.sensor] << 32) | (readings.time_us - POSTGRES_EPOCH_US - start)
    at = np.minimum(np.searchsorted(theirs, mine), len(theirs) - 1)
    stands[:] = (theirs[at] == mine) & same_value(readings.value, values[at])
    return stands


def standing_texts(
    connection: psycopg.Connection, start: datetime, end: datetime, sensor_ids: Sequence[str]
) -> set[tuple[str, datetime, Any]]:
    """Return (sensor_id, time, text) of what stands of some sensors in `[start, end)`; texts are few."""
    found = connection.execute(
        "SELECT sensor_id, time, value FROM scada.text_readings WHERE time >= %s AND time < %s AND sensor_id = ANY(%s)",
        (start, end, list(sensor_ids)),
    )
    return {(row[0], row[1], row[2]) for row in found}


def rejected_sequences(connection: psycopg.Connection, window: Window) -> npt.NDArray[np.int64]:
    """Return the sequences of what has been rejected of a collector's window."""
    found = connection.execute(
        "SELECT sequence FROM scada.rejected_readings WHERE site = %s AND collector = %s AND window_start = %s",
        (window.site, window.collector, window.start),
    )
    return np.array([row[0] for row in found], dtype=np.int64)


def stored_revision(connection: psycopg.Connection, window: Window) -> int:
    """Return the stored revision of a collector's window, 0 if nothing of it is stored."""
    row = connection.execute(
        "SELECT stored_revision FROM scada.window_ledger WHERE site = %s AND collector = %s AND window_start = %s",
        (window.site, window.collector, window.start),
    ).fetchone()
    return int(row[0]) if row else 0
