"""Writing `scada.latest_readings`: one row per sensor, never an older reading over a newer one. psycopg only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import psycopg

from resources.core.readings import STATUS_NAMES
from resources.core.tags import Sensor

_UPSERT = """
INSERT INTO scada.latest_readings AS l (site, sensor_id, time, value, text_value, unit, status, source, updated_at)
SELECT %(site)s, r.sensor_id, timestamptz 'epoch' + r.us * interval '1 microsecond', nullif(r.value, 'NaN'), r.text,
       r.unit, r.status, r.source, clock_timestamp()
FROM unnest(%(sensor_id)s::text[], %(us)s::int8[], %(value)s::float8[], %(text)s::text[], %(unit)s::text[],
            %(status)s::text[], %(source)s::text[]) AS r(sensor_id, us, value, text, unit, status, source)
ORDER BY r.sensor_id
ON CONFLICT (sensor_id) DO UPDATE SET
    site = excluded.site, time = excluded.time, value = excluded.value, text_value = excluded.text_value,
    unit = excluded.unit, status = excluded.status, source = excluded.source, updated_at = excluded.updated_at
WHERE l.time <= excluded.time
"""
# ordered by sensor_id, so that two collectors that write the same sensors can't deadlock


class LatestRows(Protocol):
    """The latest reading of some sensors, each once: columns of one length."""

    @property
    def sensor_keys(self) -> npt.NDArray[np.int64]:
        """Position in the sensors given beside the rows."""
        ...

    @property
    def times_us(self) -> npt.NDArray[np.int64]:
        """Source time, microseconds since 1970 UTC."""
        ...

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """NaN: no value."""
        ...

    @property
    def statuses(self) -> npt.NDArray[np.uint8]:
        """resources.core.readings.Status."""
        ...

    @property
    def texts(self) -> Sequence[str | None]:
        """Text of a text sensor, None for numbers."""
        ...


def write_latest(connection: psycopg.Connection, *, site: str, sensors: Sequence[Sensor], rows: LatestRows) -> int:
    """Bring the latest readings into the table and return how many rows changed; the caller commits.

    A row whose time is older than the stored one changes nothing; of equal times the one written last stands.
    """
    keys = rows.sensor_keys.tolist()
    if not keys:
        return 0
    return connection.execute(
        _UPSERT,
        {
            "site": site,
            "sensor_id": [sensors[key].sensor_id for key in keys],
            "us": rows.times_us.tolist(),
            "value": rows.values.tolist(),
            "text": [None if text is None else text.replace("\x00", "\ufffd") for text in rows.texts],
            "unit": [sensors[key].unit for key in keys],
            "status": [STATUS_NAMES[status] for status in rows.statuses.tolist()],
            "source": [sensors[key].source for key in keys],
        },
    ).rowcount
