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
from resources.databases.timescale.window_store.conflicts import same_value
from resources.databases.timescale.window_store.readings_table import Window, fetch


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings by name of sensor; columns of one length."""

    sensor_ids: Sequence[str]
    sensor: npt.NDArray[np.int32]
    """Position in sensor_ids."""
    time_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    """NaN: no value."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in the table at the sensor and time of some readings."""

    found: npt.NDArray[np.bool_]
    """Where anything stands."""
    value: npt.NDArray[np.float64]
    """NaN where nothing, or no value, stands."""
    origin_key: npt.NDArray[np.int32]
    """Under what it was stored; 0 where nothing stands."""
    status: npt.NDArray[np.int16]
    """-1 where nothing stands."""


def standing_at(connection: psycopg.Connection, window: Window, readings: Readings) -> Standing:
    """Return what stands in the window where some readings are, whoever stored it."""
    count = len(readings.time_us)
    nothing = Standing(
        np.zeros(count, np.bool_), np.full(count, np.nan), np.zeros(count, np.int32), np.full(count, -1, np.int16)
    )
    keys: dict[str, int] = dict(
        connection.execute(
            "SELECT sensor_id, sensor_key FROM scada.sensors WHERE sensor_id = ANY(%s)", (list(readings.sensor_ids),)
        ).fetchall()
    )
    if not keys or not count:
        return nothing
    stored = fetch(connection, window, sensor_keys=list(keys.values()))
    if not len(stored):
        return nothing
    start = to_micros(window.start) - POSTGRES_EPOCH_US
    theirs = stored.keys(start)
    order = np.argsort(theirs, kind="stable")
    key_of = np.array([keys.get(sensor_id, -1) for sensor_id in readings.sensor_ids], dtype=np.int64)
    mine = (key_of[readings.sensor] << 32) | (readings.time_us - POSTGRES_EPOCH_US - start)
    at = order[np.minimum(np.searchsorted(theirs[order], mine), len(theirs) - 1)]
    found = theirs[at] == mine
    return Standing(
        found,
        np.where(found, stored.value[at], np.nan),
        np.where(found, stored.origin_key[at], 0),
        np.where(found, stored.status[at], -1),
    )


def standing_numbers(connection: psycopg.Connection, window: Window, readings: Readings) -> npt.NDArray[np.bool_]:
    """Return which readings stand in the window with the same value, whoever stored them."""
    standing = standing_at(connection, window, readings)
    stands: npt.NDArray[np.bool_] = standing.found & same_value(readings.value, standing.value)
    return stands


def origins_of(connection: psycopg.Connection, window: Window) -> dict[int, str]:
    """Return the origins under which rows of the window's collector are stored, each with its unit."""
    found = connection.execute(
        "SELECT origin_key, unit FROM scada.origins WHERE site = %s AND collector = %s", (window.site, window.collector)
    )
    return dict(found.fetchall())


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
