"""The stored readings of one equipment as rows of a grid, as its detectors are trained on them and score them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import psycopg

from gl_assets.transforms.anomaly.features import Floats
from gl_assets.transforms.anomaly.rows import Grid, align, hold
from resources.core.clock import to_micros
from resources.databases.timescale.anomaly.equipment_rows import step_means

_MICROSECOND = timedelta(microseconds=1)


def read_rows(
    connection: psycopg.Connection,
    sensors: Mapping[str, str],
    *,
    site: str,
    span: tuple[datetime, datetime],
    step_us: int,
    hold_rows: int,
) -> tuple[Grid, Floats]:
    """Return the rows of a half-open span and the sensors' values in them, missing ones held.

    Args:
        connection: To the platform's database.
        sensors: Sensor -> unit of its calibrated value: the columns.
        site: The site.
        span: First instant, and end.
        step_us: Length of a row, microseconds.
        hold_rows: How many rows a sensor's last value stands for.
    """
    since, until = span
    grid = Grid.covering(to_micros(since), to_micros(until), step_us)
    found = step_means(connection, sensors, site=site, since=since, until=until, step=step_us * _MICROSECOND)
    values = align(found.time_us, found.place, found.mean, grid, sensors=len(sensors))
    return grid, hold(values, hold_rows)
