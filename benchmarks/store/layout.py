"""The physical layout against the obvious one: a hypertable with text columns and a unique (sensor_id, time)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import psycopg

from benchmarks.store.bare_copy import BareCopy, encode
from benchmarks.store.workload import SENSORS, START, sensor_id
from resources.core.clock import to_micros
from resources.core.errors import DataError
from resources.databases.timescale.binary import POSTGRES_EPOCH_US
from resources.databases.timescale.edition import detect
from resources.databases.timescale.window_store.readings_table import KINDS

Progress = Callable[[str], None]

WINDOWS = 20
"""Windows of the sustained load."""

ROWS = 60_000
"""Rows of one window: every sensor sixty times."""

DAY_WINDOWS = 144
"""Windows of ten minutes in the day that is read: a reading of every sensor every ten seconds."""

TEXT_KINDS = {
    "time": "i8",
    "sensor_id": f"S{len(sensor_id(0))}",
    "value": "f8",
    "unit": "S3",
    "calibrated_value": "f8",
    "calibrated_unit": "S1",
    "status": "S4",
    "quality_score": "f4",
    "quality_level": "S9",
    "source": "S8",
    "validated": "i1",
    "ingested_at": "i8",
    "site": "S5",
}
"""Columns of the text-key table, in the order of the public view."""

_TEXT_TABLE = """
CREATE TABLE text_key (
    time timestamptz NOT NULL, sensor_id text NOT NULL, value float8, unit text NOT NULL, calibrated_value float8,
    calibrated_unit text NOT NULL, status text NOT NULL, quality_score real NOT NULL, quality_level text NOT NULL,
    source text NOT NULL, validated bool NOT NULL, ingested_at timestamptz NOT NULL, site text NOT NULL,
    UNIQUE (sensor_id, time)
)
"""

QUERIES = {
    "one_sensor_a_day": (
        "SELECT time, value, unit, status, quality_score FROM {table} WHERE sensor_id = %(sensor)s"
        " AND time >= %(day)s AND time < %(day)s + interval '1 day'"
    ),
    "all_sensors_a_window": (
        "SELECT time, sensor_id, value, unit, status, quality_score FROM {table}"
        " WHERE time >= %(window)s AND time < %(window)s + interval '10 minutes'"
    ),
    "hourly_averages_of_all": "SELECT sensor_id, {bucket} AS hour, avg(value) FROM {table} GROUP BY 1, 2",
}
"""What is read, from the view and from the text-key table, in the same words."""


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    kinds: dict[str, str]
    view: str


NARROW = _Table("scada.readings", KINDS, "scada.sensor_readings")
TEXT_KEY = _Table("text_key", TEXT_KINDS, "text_key")


def prepare(connection: psycopg.Connection) -> None:
    """Make the text-key table, chunked as ours is, and the names the narrow rows refer to."""
    connection.execute("DROP TABLE IF EXISTS text_key")
    connection.execute(_TEXT_TABLE)
    if detect(connection).has_hypertables:
        connection.execute("SELECT create_hypertable('text_key', by_range('time', interval '6 hours'))")
    else:
        connection.execute("CREATE INDEX ON text_key (time DESC)")
    connection.execute("TRUNCATE scada.readings, scada.sensors, scada.origins RESTART IDENTITY")
    connection.execute(
        "INSERT INTO scada.sensors (sensor_id) SELECT unnest(%s::text[])", ([sensor_id(n) for n in range(SENSORS)],)
    )
    connection.execute(
        "INSERT INTO scada.origins (site, collector, source, unit, calibrated_unit)"
        " VALUES ('bench', 'collector', 'modbus_1', 'Cel', 'K')"
    )


def window_columns(number: int, step_s: int, *, arrival: bool = False) -> dict[str, npt.ArrayLike]:
    """Return the columns of one window for both tables, by sensor and time: the order of both indexes.

    `arrival`: in the order in which sensors read in turn come in, by time and sensor.
    """
    per_sensor = ROWS // SENSORS
    sensors, turns = np.arange(1, SENSORS + 1, dtype=np.int32), np.arange(per_sensor, dtype=np.int64)
    sensor = np.tile(sensors, per_sensor) if arrival else np.repeat(sensors, per_sensor)
    turn = np.repeat(turns, SENSORS) if arrival else np.tile(turns, SENSORS)
    at = (number * per_sensor + turn) * step_s * 1_000_000
    times = to_micros(_day()) - POSTGRES_EPOCH_US + at
    value = np.random.default_rng(number).normal(400.0, 25.0, ROWS)
    names = np.array([sensor_id(n).encode() for n in range(SENSORS)])
    return {
        "time": times,
        "value": value,
        "calibrated_value": value + 273.15,
        "ingested_at": times + 50_000,
        "sensor_key": sensor,
        "origin_key": 1,
        "quality_score": 100.0,
        "status": 0,
        "defects": 0,
        "sensor_id": names[sensor - 1],
        "unit": b"Cel",
        "calibrated_unit": b"K",
        "quality_level": b"EXCELLENT",
        "source": b"modbus_1",
        "validated": 1,
        "site": b"bench",
    }


def measure_load(
    connection: psycopg.Connection, copy: BareCopy, *, repeats: int, progress: Progress
) -> dict[str, object]:
    """Return how much quicker the narrow table takes in 20 windows, one COPY a window, than the text-key table.

    Both get the same rows in the same order: once as they arrive, once sorted by the index, as the store does it.
    """
    result: dict[str, object] = {}
    for suffix, arrival in (("", True), ("_sorted", False)):
        rates: dict[str, list[float]] = {NARROW.name: [], TEXT_KEY.name: []}
        for number in range(repeats):
            progress(f"layout{suffix}, {number + 1} of {repeats}")
            for table in (NARROW, TEXT_KEY):
                connection.execute(f"TRUNCATE {table.name}")
                connection.execute("CHECKPOINT")
                seconds = sum(_load(copy, table, window, step_s=1, arrival=arrival) for window in range(WINDOWS))
                rates[table.name].append(WINDOWS * ROWS / seconds)
        narrow, text = statistics.median(rates[NARROW.name]), statistics.median(rates[TEXT_KEY.name])
        result |= {
            f"layout{suffix}_vs_text_key": round(narrow / text, 2),
            f"layout{suffix}_readings_per_s": round(narrow),
            f"text_key{suffix}_readings_per_s": round(text),
            f"layout{suffix}_spread": {name: round(max(found) / min(found), 2) for name, found in rates.items()},
        }
    return result


def measure_reads(
    connection: psycopg.Connection, copy: BareCopy, *, repeats: int, progress: Progress
) -> dict[str, object]:
    """Return how long each query takes through the view, over the text-key table; both vacuumed and warm.

    Each query is repeated three times as often as the rest is, since it is short.
    """
    for table in (NARROW, TEXT_KEY):
        connection.execute(f"TRUNCATE {table.name}")
        for window in range(DAY_WINDOWS):
            if window % 24 == 0:
                progress(f"reads: loading {table.name}, hour {window // 6} of 24")
            _load(copy, table, window, step_s=10)
        connection.execute(f"VACUUM ANALYZE {table.name}")
    connection.execute("ANALYZE scada.sensors, scada.origins")
    progress("reads: querying")
    found = {name: _query_ms(connection, name, 3 * repeats) for name in QUERIES}
    return {
        "reads": {name: round(ms[NARROW.name] / ms[TEXT_KEY.name], 2) for name, ms in found.items()},
        "reads_ms": {name: {table: round(took, 1) for table, took in ms.items()} for name, ms in found.items()},
        "reads_rows": DAY_WINDOWS * ROWS,
        "bytes_per_row": {t.name: round(_bytes(connection, t) / (DAY_WINDOWS * ROWS)) for t in (NARROW, TEXT_KEY)},
    }


def _load(copy: BareCopy, table: _Table, window: int, *, step_s: int, arrival: bool = False) -> float:
    columns = window_columns(window, step_s, arrival=arrival)
    if table is TEXT_KEY:
        columns["status"] = b"good"
    return copy.seconds(table.name, tuple(table.kinds), encode(columns, table.kinds))


def _query_ms(connection: psycopg.Connection, name: str, repeats: int) -> dict[str, float]:
    """Return per table the median milliseconds of a query until its last row is here; the tables take turns.

    Rows are received, but not turned into Python objects: that would cost both tables the same, and hide a difference.
    """
    bucket = "time_bucket('1 hour', time)" if detect(connection).has_hypertables else "date_trunc('hour', time)"
    values = {"sensor": sensor_id(SENSORS // 2), "day": _day(), "window": _day() + timedelta(hours=5)}
    times: dict[str, list[float]] = {NARROW.name: [], TEXT_KEY.name: []}
    for turn in range(repeats + 1):
        for table in (NARROW, TEXT_KEY):
            query = psycopg.ClientCursor(connection).mogrify(
                QUERIES[name].format(table=table.view, bucket=bucket), values
            )
            begun = time.perf_counter()
            result = connection.pgconn.exec_(query.encode())
            took = 1000 * (time.perf_counter() - begun)
            if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
                raise DataError(f"benchmark query {name} on {table.view}: {result.error_message.decode()}")
            if turn:  # the first warms the caches
                times[table.name].append(took)
    return {table: statistics.median(took) for table, took in times.items()}


def _bytes(connection: psycopg.Connection, table: _Table) -> int:
    size = "hypertable_size(%s)" if detect(connection).has_hypertables else "pg_total_relation_size(%s)"
    row = connection.execute(f"SELECT {size}", (table.name,)).fetchone()
    assert row is not None
    return int(row[0])


def _day() -> datetime:
    return START.replace(hour=0)
