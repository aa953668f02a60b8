"""Reading and writing the numeric rows of one window in scada.readings, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime

import numpy as np
import numpy.typing as npt
import psycopg

from resources.core.contradictions import REPLACED
from resources.databases.timescale.binary import HEADER, TRAILER, decode_array, encode_rows
from resources.databases.timescale.window_store.conflicts import Plan, TableRows

KINDS = {
    "time": "i8",
    "value": "f8",
    "calibrated_value": "f8",
    "ingested_at": "i8",
    "sensor_key": "i4",
    "origin_key": "i4",
    "quality_score": "f4",
    "status": "i2",
    "defects": "i2",
}
"""Columns of scada.readings in their order, with their type on the wire."""

COPY_ROWS = 16_384
"""Rows encoded at a time: while the server takes one piece in, the next is made."""

_COPY = f"COPY scada.readings ({', '.join(KINDS)}) FROM STDIN (FORMAT BINARY)"

_IN_WINDOW = "time >= %(start)s AND time < %(end)s"


@dataclass(frozen=True, slots=True)
class Window:
    """The window being written."""

    site: str
    collector: str
    start: datetime
    end: datetime
    run_id: str


def fetch(
    connection: psycopg.Connection,
    window: Window,
    *,
    sensor_keys: list[int] | None = None,
    without_origins: list[int] | None = None,
) -> TableRows:
    """Return the rows that stand in the window, of every collector, in the table's order.

    Whole columns come as one array each: a row at a time costs a Python call per row.

    Args:
        connection: In the window's transaction.
        window: The window.
        sensor_keys: Only rows of these sensors, found by the unique index.
        without_origins: Leaves out rows of these origins.
    """
    nullable = ("value", "calibrated_value")
    names = [f"coalesce({f.name}, 'NaN')" if f.name in nullable else f.name for f in fields(TableRows)]
    columns = ", ".join(f"array_send(array_agg({name}))" for name in names)
    statement = f"SELECT {columns} FROM scada.readings WHERE {_IN_WINDOW}"
    if sensor_keys is not None:
        statement += " AND sensor_key = ANY(%(sensors)s)"
    if without_origins is not None:
        statement += " AND origin_key <> ALL(%(origins)s)"
    with connection.cursor(binary=True) as cursor:
        cursor.execute(
            statement,
            {"start": window.start, "end": window.end, "sensors": sensor_keys, "origins": without_origins},
        )
        row = cursor.fetchone()
    assert row is not None
    return TableRows(
        *(decode_array(sent, KINDS[field.name]) for sent, field in zip(row, fields(TableRows), strict=True))
    )


def copy_rows(connection: psycopg.Connection, rows: TableRows) -> None:
    """Write rows by COPY BINARY; rows without a value come last, since their records are shorter."""
    if not len(rows):
        return
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(HEADER)
        for piece in _encoded(rows):
            copy.write(piece)
        copy.write(TRAILER)


def _encoded(rows: TableRows) -> Iterator[bytes]:
    missing = np.isnan(rows.value)
    if missing.any():
        yield from _encoded(rows.take(~missing))
        rows = rows.take(missing)
    empty = bool(len(rows)) and bool(np.isnan(rows.value[0]))
    for first in range(0, len(rows), COPY_ROWS):
        piece = rows.take(slice(first, first + COPY_ROWS))
        columns: dict[str, npt.NDArray[np.generic] | None] = {name: getattr(piece, name) for name in KINDS}
        if empty:
            columns["value"] = columns["calibrated_value"] = None
        yield encode_rows(columns, KINDS)


def delete_all(connection: psycopg.Connection, window: Window, origin_keys: list[int]) -> int:
    """Remove all rows of these origins from the window; found by the block ranges of time."""
    return connection.execute(
        f"DELETE FROM scada.readings WHERE {_IN_WINDOW} AND origin_key = ANY(%(origins)s)",
        {"start": window.start, "end": window.end, "origins": origin_keys},
    ).rowcount


def delete_rows(connection: psycopg.Connection, window: Window, rows: TableRows) -> int:
    """Remove single rows, each found by the unique index."""
    if not len(rows):
        return 0
    return connection.execute(
        "DELETE FROM scada.readings r USING unnest(%(keys)s::int4[], %(times)s::int8[]) AS gone(sensor_key, us)"
        " WHERE r.sensor_key = gone.sensor_key"
        " AND r.time = timestamptz '2000-01-01Z' + gone.us * interval '1 microsecond'"
        " AND r.time >= %(start)s AND r.time < %(end)s",
        {"keys": rows.sensor_key.tolist(), "times": rows.time.tolist(), "start": window.start, "end": window.end},
    ).rowcount


def reject_displaced(connection: psycopg.Connection, window: Window, rows: TableRows) -> None:
    """Copy stored rows to scada.rejected_readings, under the collector they came from, and correct its ledger.

    Their sequence is below zero: the receive sequence of a stored row is not kept.
    """
    if not len(rows):
        return
    connection.execute(
        """
        WITH gone AS (
            SELECT * FROM unnest(%(keys)s::int4[], %(times)s::int8[], %(values)s::float8[], %(origins)s::int4[],
                                 %(status)s::int2[]) AS g(sensor_key, us, value, origin_key, status)
        ), kept AS (
            INSERT INTO scada.rejected_readings
                (site, collector, sequence, time, sensor_id, source, raw, reasons, window_start, run_id, rejected_at)
            SELECT o.site, o.collector, -nextval('scada.replaced_readings_sequence'), t.time, s.sensor_id, o.source,
                   jsonb_build_object('sensor_id', s.sensor_id, 'time', t.time, 'value', nullif(g.value, 'NaN'),
                                      'unit', o.unit, 'status', (ARRAY['good', 'uncertain', 'bad'])[g.status + 1]),
                   ARRAY[%(reason)s], %(start)s, %(run_id)s, clock_timestamp()
            FROM gone g
            CROSS JOIN LATERAL (SELECT timestamptz '2000-01-01Z' + g.us * interval '1 microsecond' AS time) t
            JOIN scada.sensors s USING (sensor_key) JOIN scada.origins o USING (origin_key)
            RETURNING site, collector, source
        ), moved AS (
            SELECT site, collector, source, count(*) AS n FROM kept GROUP BY site, collector, source
        ), by_source AS (
            UPDATE scada.window_sources w SET rows = w.rows - m.n, rejected = w.rejected + m.n FROM moved m
            WHERE (w.site, w.collector, w.source, w.window_start) = (m.site, m.collector, m.source, %(start)s)
        )
        UPDATE scada.window_ledger w SET rows = w.rows - m.n, rejected = w.rejected + m.n
        FROM (SELECT site, collector, sum(n) AS n FROM moved GROUP BY site, collector) m
        WHERE (w.site, w.collector, w.window_start) = (m.site, m.collector, %(start)s)
        """,
        {
            "keys": rows.sensor_key.tolist(),
            "times": rows.time.tolist(),
            "values": rows.value.tolist(),
            "origins": rows.origin_key.tolist(),
            "status": rows.status.tolist(),
            "reason": REPLACED,
            "start": window.start,
            "run_id": window.run_id,
        },
    )


def apply(connection: psycopg.Connection, window: Window, plan: Plan, incoming: TableRows, stored: TableRows) -> int:
    """Carry a plan out and return how many stored rows were removed."""
    reject_displaced(connection, window, stored.take(plan.displaced))
    gone = np.concatenate([plan.stale, plan.displaced])
    deleted = delete_rows(connection, window, stored.take(gone))
    copy_rows(connection, incoming.take(plan.write))
    return deleted
