"""Calibrating stored windows anew, after calibrations were added, changed or withdrawn.

The ledger says what the rows of each window were made with; a window for which that is not what the configuration says
now is pending. It works on the stored rows, whose value and unit stay as they came: so the buffer need not hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import psycopg

from gl_assets.transforms.recalibration import StoredReadings, recalibrated
from resources.core.calibration.book import ATMOSPHERE, CalibrationSet
from resources.core.errors import DataError
from resources.core.windows import partition_key
from resources.databases.timescale.binary import POSTGRES_EPOCH_US
from resources.databases.timescale.rework.recalibrations import (
    RowOrigin,
    StoredUnder,
    note_recalibrated,
    origins,
    sensor_names,
    stored_under,
    update_calibrated,
)
from resources.databases.timescale.window_store.calibration_sets import members_of, sensors_of, write_set
from resources.databases.timescale.window_store.conflicts import TableRows, same_value
from resources.databases.timescale.window_store.ledger import lock_window
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.databases.timescale.window_store.readings_table import Window, fetch
from resources.integrations import Integrations

MOST_SENSORS = 500
"""Sensors whose rows of a window are in memory at a time."""


@dataclass(frozen=True, slots=True)
class PendingWindow:
    """A window whose rows were made with other calibrations than hold now."""

    start: datetime
    sensors: frozenset[str] | None
    """Whose calibrations differ; None: all sensors', since the atmosphere differs."""


@dataclass(frozen=True, slots=True)
class RecalibratedWindow:
    """What was done with one window."""

    start: datetime
    sensors: Mapping[str, int]
    """Sensor -> rows whose calibrated value changed."""

    @property
    def rows(self) -> int:
        """Rows whose calibrated value changed."""
        return sum(self.sensors.values())


def pending_windows(
    connection: psycopg.Connection, config: Integrations, *, only: datetime | None = None
) -> list[PendingWindow]:
    """Return the windows that were stored under other calibrations than hold now, newest first.

    Args:
        connection: To the platform's database.
        config: What holds now.
        only: Only this window.
    """
    book, length = config.calibration_book, config.window
    found: list[tuple[StoredUnder, CalibrationSet]] = []
    for stored in stored_under(connection, config.site, window_start=only):
        now = book.set_of(stored.window_start, stored.window_start + length)
        if stored.sets != {now.name}:
            found.append((stored, now))
    if not found:
        return []
    members = members_of(connection, config.site)
    # most windows were stored under the same sets
    changes = {(stored.sets, now.name): _changed(stored.sets, now, members) for stored, now in found}
    sensor_of = {c.fingerprint: c.sensor_id for c in book.calibrations}
    sensor_of |= sensors_of(connection, config.site, frozenset().union(*changes.values()) - sensor_of.keys())
    whose = {case: _sensors(changed, sensor_of) for case, changed in changes.items()}
    return [PendingWindow(stored.window_start, whose[stored.sets, now.name]) for stored, now in found]


def _changed(sets: Iterable[str], now: CalibrationSet, members: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return what holds now and did not when the rows were stored, or the other way round."""
    return frozenset().union(*(members[name] ^ frozenset(now.members) for name in sets))


def _sensors(changed: frozenset[str], sensor_of: Mapping[str, str]) -> frozenset[str] | None:
    if any(member.startswith(ATMOSPHERE) for member in changed):
        return None
    return frozenset(sensor_of[member] for member in changed)


@dataclass(frozen=True, slots=True)
class Recalibrator:
    """Calibrates windows anew, one transaction each."""

    config: Integrations
    store: ReadingsStore
    run_id: str

    def carry_out(self, start: datetime) -> RecalibratedWindow:
        """Make a window's calibrated values what the configuration says, and note it in the ledger.

        Rows that come out as they stand are not written; a window without any keeps its hour.

        Raises:
            DataError: A value cannot be expressed in the canonical unit after calibration; nothing is changed.
            ConfigError: Units that were stored together do not convert.
        """
        config, end = self.config, start + self.config.window
        now = config.calibration_book.set_of(start, end)
        with self.store.transaction() as connection:
            lock_window(connection, start)
            pending = pending_windows(connection, config, only=start)
            if not pending:
                return RecalibratedWindow(start, {})
            window = Window(config.site, config.collector.name, start, end, self.run_id)
            names = list(sensor_names(connection, pending[0].sensors).items())
            ways = {way.origin_key: way for way in origins(connection, config.site)}
            sensors: dict[str, int] = {}
            collectors: set[str] = set()
            for first in range(0, len(names), MOST_SENSORS):
                part = dict(names[first : first + MOST_SENSORS])
                changed, theirs = self._rewrite(connection, window, part, ways)
                sensors |= changed
                collectors |= theirs
            write_set(connection, config.site, now)
            note_recalibrated(connection, config.site, start, now.name, collectors)
        return RecalibratedWindow(start, sensors)

    def _rewrite(
        self, connection: psycopg.Connection, window: Window, names: Mapping[int, str], ways: Mapping[int, RowOrigin]
    ) -> tuple[Mapping[str, int], set[str]]:
        """Write what differs of these sensors; return sensor -> rows, and the collectors they came from."""
        rows = fetch(connection, window, sensor_keys=list(names))
        rows = rows.take(np.isin(rows.origin_key, list(ways)))
        if not len(rows):
            return {}, set()
        calibrated = recalibrated(_readings(rows, names, ways), self.config.calibration_book)
        differs = np.flatnonzero(~same_value(calibrated, rows.calibrated_value))
        changed, values = rows.take(differs), calibrated[differs]
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            sensor = names[int(changed.sensor_key[bad[0]])]
            raise DataError(
                f"window {partition_key(window.start)}: {len(bad)} values of {sensor} and others are infinite after "
                "calibration; nothing of the window is changed. Look at the calibration's numbers and unit"
            )
        if len(changed):
            update_calibrated(connection, window, changed, values)
        keys, counts = np.unique(changed.sensor_key, return_counts=True)
        sensors = {names[key]: count for key, count in zip(keys.tolist(), counts.tolist(), strict=True)}
        return sensors, {ways[key].collector for key in np.unique(changed.origin_key).tolist()}


def _readings(rows: TableRows, names: Mapping[int, str], ways: Mapping[int, RowOrigin]) -> StoredReadings:
    pairs = (rows.sensor_key.astype(np.int64) << 32) | rows.origin_key
    distinct, position = np.unique(pairs, return_inverse=True)
    keys = [(int(pair) >> 32, int(pair) & 0xFFFFFFFF) for pair in distinct.tolist()]
    return StoredReadings(
        sensor_ids=[names[sensor] for sensor, _ in keys],
        units=[ways[origin].unit for _, origin in keys],
        calibrated_units=[ways[origin].calibrated_unit for _, origin in keys],
        sensor=position.astype(np.int32),
        time_us=rows.time + POSTGRES_EPOCH_US,
        value=rows.value,
    )
