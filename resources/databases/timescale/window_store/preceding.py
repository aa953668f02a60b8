"""The last reading of sensors before a window, and since when its value was the same: by the unique index, each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import class_row

from resources.core.readings import Status
from resources.core.rules import BIT

_PRECEDING = """
SELECT s.sensor_id, o.unit, last.time, last.value, coalesce(since.time, last.time) AS since
FROM scada.sensors s
CROSS JOIN LATERAL (
    SELECT r.time, r.value, r.origin_key FROM scada.readings r
    WHERE r.sensor_key = s.sensor_key AND r.time >= %(since)s AND r.time < %(start)s
      AND r.value IS NOT NULL AND r.status <> %(bad)s AND r.defects & %(implausible)s = 0
    ORDER BY r.time DESC LIMIT 1
) last
LEFT JOIN LATERAL (
    SELECT r.time FROM scada.readings r
    WHERE s.sensor_id = ANY(%(flat)s) AND r.sensor_key = s.sensor_key AND r.time >= %(since)s AND r.time < last.time
      AND r.value IS NOT NULL AND r.status <> %(bad)s AND r.value <> last.value
    ORDER BY r.time DESC LIMIT 1
) other ON true
LEFT JOIN LATERAL (
    SELECT r.time FROM scada.readings r
    WHERE s.sensor_id = ANY(%(flat)s) AND r.sensor_key = s.sensor_key AND r.time >= %(since)s AND r.time <= last.time
      AND r.time > coalesce(other.time, '-infinity') AND r.value IS NOT NULL AND r.status <> %(bad)s
    ORDER BY r.time LIMIT 1
) since ON true
JOIN scada.origins o USING (origin_key)
WHERE s.sensor_id = ANY(%(sensors)s)
"""


@dataclass(frozen=True, slots=True)
class LookBack:
    """Which readings before a window are looked for."""

    start: datetime
    """Before this instant."""
    length: timedelta
    """And not longer before it than this."""
    sensors: Sequence[str]
    flat: Sequence[str]
    """Of these it is also found out since when the value was the same."""


@dataclass(frozen=True, slots=True)
class LastReading:
    """One sensor's last plausible reading before an instant."""

    sensor_id: str
    unit: str
    """Unit it was collected in."""
    time: datetime
    value: float
    since: datetime
    """First of the readings with this value, as far back as was looked; of the others its own time."""


def preceding(connection: psycopg.Connection, asked: LookBack) -> list[LastReading]:
    """Return the last plausible reading of each sensor that has one in the time looked at."""
    terms = {
        "sensors": list(asked.sensors),
        "flat": list(asked.flat),
        "start": asked.start,
        "since": asked.start - asked.length,
        "bad": int(Status.BAD),
        "implausible": BIT["rate_of_change"],
    }
    with connection.cursor(row_factory=class_row(LastReading)) as cursor:
        return cursor.execute(_PRECEDING, terms).fetchall()
