"""The numbers that stand for names in scada.readings: `sensor_key` of a sensor, `origin_key` of the way it came in."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import psycopg

from resources.databases.timescale.window_store.window import SensorOrigin

_Origin = tuple[str, str, str, str, str]


class Dimensions:
    """Looks the numbers up, makes missing ones, and remembers them: they never change."""

    def __init__(self) -> None:
        """Start with nothing remembered."""
        self._sensors: dict[str, int] = {}
        self._origins: dict[_Origin, int] = {}

    def resolve(
        self, connection: psycopg.Connection, site: str, collector: str, sensors: tuple[SensorOrigin, ...]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return sensor_key and origin_key of every sensor, in order.

        Runs outside the window's transaction, so that two writers that meet a new sensor don't wait for each other's
        windows; a name without readings does no harm. Names go in sorted, so that two writers can't deadlock.
        """
        origins = [(site, collector, s.source, s.unit, s.calibrated_unit) for s in sensors]
        self._learn_sensors(connection, {s.sensor_id for s in sensors} - self._sensors.keys())
        self._learn_origins(connection, set(origins) - self._origins.keys())
        return (
            np.array([self._sensors[s.sensor_id] for s in sensors], dtype=np.int32),
            np.array([self._origins[origin] for origin in origins], dtype=np.int32),
        )

    def _learn_sensors(self, connection: psycopg.Connection, missing: Iterable[str]) -> None:
        names = sorted(missing)
        if not names:
            return
        # looked up first: ON CONFLICT uses a number of the sequence up even where the row exists
        known = "SELECT sensor_id, sensor_key FROM scada.sensors WHERE sensor_id = ANY(%s)"
        self._sensors.update(connection.execute(known, (names,)).fetchall())
        new = [name for name in names if name not in self._sensors]
        if new:
            connection.execute(
                "INSERT INTO scada.sensors (sensor_id) SELECT unnest(%s::text[]) ON CONFLICT (sensor_id) DO NOTHING",
                (new,),
            )
            self._sensors.update(connection.execute(known, (new,)).fetchall())

    def _learn_origins(self, connection: psycopg.Connection, missing: Iterable[_Origin]) -> None:
        for origin in sorted(missing):
            key = self._find_origin(connection, origin)
            if key is None:
                connection.execute(
                    "INSERT INTO scada.origins (site, collector, source, unit, calibrated_unit)"
                    " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    origin,
                )
                key = self._find_origin(connection, origin)
            assert key is not None
            self._origins[origin] = key

    def _find_origin(self, connection: psycopg.Connection, origin: _Origin) -> int | None:
        row = connection.execute(
            "SELECT origin_key FROM scada.origins WHERE site = %s AND collector = %s AND source = %s AND unit = %s"
            " AND calibrated_unit = %s AND validated",
            origin,
        ).fetchone()
        return None if row is None else int(row[0])
