"""Calibrating stored rows anew: which windows were stored under what, the rows, and who asked. psycopg only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.rows import class_row

from resources.databases.timescale.window_store.conflicts import TableRows
from resources.databases.timescale.window_store.readings_table import Window


@dataclass(frozen=True, slots=True)
class StoredUnder:
    """One window, all collectors together, and the names of the calibration sets that its rows were made with."""

    window_start: datetime
    sets: frozenset[str]


@dataclass(frozen=True, slots=True)
class RowOrigin:
    """How some rows of a site came in."""

    origin_key: int
    collector: str
    unit: str
    calibrated_unit: str


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What somebody asked for, and what has come of it."""

    recalibration_id: int
    book: str
    requested_by: str
    because: str
    requested_at: datetime
    windows: int
    rows: int
    run_id: str | None
    completed_at: datetime | None


_REQUEST = "recalibration_id, book, requested_by, because, requested_at, windows, rows, run_id, completed_at"


def stored_under(
    connection: psycopg.Connection, site: str, *, window_start: datetime | None = None
) -> list[StoredUnder]:
    """Return the windows of a site that hold rows (or this one), newest first."""
    found = connection.execute(
        "SELECT window_start, array_agg(DISTINCT name) FROM scada.window_ledger, unnest(calibrations) name"
        " WHERE site = %(site)s AND rows > 0 AND (%(start)s::timestamptz IS NULL OR window_start = %(start)s)"
        " GROUP BY 1 ORDER BY 1 DESC",
        {"site": site, "start": window_start},
    )
    return [StoredUnder(start, frozenset(names)) for start, names in found]


def origins(connection: psycopg.Connection, site: str) -> list[RowOrigin]:
    """Return every way that readings of a site came in."""
    with connection.cursor(row_factory=class_row(RowOrigin)) as cursor:
        return cursor.execute(
            "SELECT origin_key, collector, unit, calibrated_unit FROM scada.origins WHERE site = %s", (site,)
        ).fetchall()


def sensor_names(connection: psycopg.Connection, sensor_ids: Iterable[str] | None) -> dict[int, str]:
    """Return sensor_key -> sensor_id of these sensors, of all if None; one that was never stored is left out."""
    names = None if sensor_ids is None else list(sensor_ids)
    found = connection.execute(
        "SELECT sensor_key, sensor_id FROM scada.sensors WHERE %(names)s::text[] IS NULL OR sensor_id = ANY(%(names)s)",
        {"names": names},
    )
    return dict(found.fetchall())


def update_calibrated(
    connection: psycopg.Connection, window: Window, rows: TableRows, calibrated: npt.NDArray[np.float64]
) -> int:
    """Put new calibrated values in place of those that stand; return how many rows that were."""
    return connection.execute(
        "UPDATE scada.readings r SET calibrated_value = n.calibrated"
        " FROM unnest(%(keys)s::int4[], %(times)s::int8[], %(calibrated)s::float8[]) AS n(sensor_key, us, calibrated)"
        " WHERE r.sensor_key = n.sensor_key"
        " AND r.time = timestamptz '2000-01-01Z' + n.us * interval '1 microsecond'"
        " AND r.time >= %(start)s AND r.time < %(end)s",
        {
            "keys": rows.sensor_key.tolist(),
            "times": rows.time.tolist(),
            "calibrated": calibrated.tolist(),
            "start": window.start,
            "end": window.end,
        },
    ).rowcount


def note_recalibrated(
    connection: psycopg.Connection, site: str, window_start: datetime, name: str, changed: Iterable[str]
) -> None:
    """Note what all rows of a window are made with now; the hour of collectors whose rows changed is due again."""
    connection.execute(
        "UPDATE scada.window_ledger SET calibrations = ARRAY[%s],"
        " recalibrated = recalibrated + (collector = ANY(%s))::int WHERE site = %s AND window_start = %s",
        (name, list(changed), site, window_start),
    )


def request(connection: psycopg.Connection, site: str, *, book: str, by: str, because: str) -> int:
    """Keep that somebody asks for stored rows to be calibrated anew; return its number. The caller commits.

    What was asked for under another state of the configuration and is not done is closed: it can no longer be done.
    """
    connection.execute(
        "UPDATE scada.recalibrations SET completed_at = now() WHERE site = %s AND completed_at IS NULL AND book <> %s",
        (site, book),
    )
    row = connection.execute(
        "INSERT INTO scada.recalibrations (site, book, requested_by, because) VALUES (%s, %s, %s, %s)"
        " RETURNING recalibration_id",
        (site, book, by, because),
    ).fetchone()
    assert row is not None  # RETURNING always does
    return int(row[0])


def requests(connection: psycopg.Connection, site: str, *, only_open: bool = False) -> list[Recalibration]:
    """Return what was asked for, newest first."""
    with connection.cursor(row_factory=class_row(Recalibration)) as cursor:
        return cursor.execute(
            f"SELECT {_REQUEST} FROM scada.recalibrations WHERE site = %s AND (NOT %s OR completed_at IS NULL)"
            " ORDER BY recalibration_id DESC LIMIT 100",
            (site, only_open),
        ).fetchall()


def note_progress(connection: psycopg.Connection, request_id: int, *, windows: int, rows: int, run_id: str) -> None:
    """Add what a run has done to what was asked for; the caller commits."""
    connection.execute(
        "UPDATE scada.recalibrations SET windows = windows + %s, rows = rows + %s, run_id = %s"
        " WHERE recalibration_id = %s",
        (windows, rows, run_id, request_id),
    )


def note_done(connection: psycopg.Connection, site: str, book: str) -> None:
    """Close what was asked for under this state of the configuration; the caller commits."""
    connection.execute(
        "UPDATE scada.recalibrations SET completed_at = now() WHERE site = %s AND book = %s AND completed_at IS NULL",
        (site, book),
    )
