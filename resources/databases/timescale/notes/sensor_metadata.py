"""`scada.sensor_metadata`: what the configuration said of each sensor when its readings were last stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psycopg

COLUMNS = (
    "sensor_id",
    "source",
    "description",
    "equipment",
    "area",
    "unit",
    "canonical_unit",
    "minimum",
    "maximum",
    "certificate",
)
"""The columns of a sensor's row, in the order they are given in."""

_NAMES = ", ".join(COLUMNS)
_CHANGED = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
_WRITE = f"""
INSERT INTO scada.sensor_metadata (site, {_NAMES}) VALUES (%s, {", ".join(["%s"] * len(COLUMNS))})
ON CONFLICT (sensor_id) DO UPDATE SET site = excluded.site, {_CHANGED}, changed_at = now()
"""


def write_metadata(connection: psycopg.Connection, site: str, rows: Iterable[Sequence[object]]) -> int:
    """Write the rows that differ from what stands, and return how many did.

    Args:
        connection: In no transaction of a window: nobody should wait for one.
        site: The site of all.
        rows: COLUMNS of each sensor.
    """
    wanted = {str(row[0]): (site, *row) for row in rows}
    standing = connection.execute(
        f"SELECT site, {_NAMES} FROM scada.sensor_metadata WHERE sensor_id = ANY(%s)", (list(wanted),)
    )
    same = {str(row[1]) for row in standing if wanted[str(row[1])] == row}
    # in order of name, so that two writers can't deadlock
    new = [row for name, row in sorted(wanted.items()) if name not in same]
    if new:
        with connection.cursor() as cursor:
            cursor.executemany(_WRITE, new)
    return len(new)
