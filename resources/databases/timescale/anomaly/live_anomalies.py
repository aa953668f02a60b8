"""What the collector finds in windows that are not stored yet: the asset's rows take its place later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

from resources.databases.timescale.anomaly.anomalies import AnomalyRow, add_live, lock_window


@dataclass(frozen=True, slots=True)
class LiveWindow:
    """What the collector knows of one equipment in one window: exactly these anomalies, from `since` on."""

    equipment: str
    window_start: datetime
    since: datetime
    """Nothing is known of the time before: the collector, or the detectors, were not there yet."""
    rows: tuple[AnomalyRow, ...]


def replace_live(connection: psycopg.Connection, window: LiveWindow, *, site: str, run_id: str) -> int:
    """Make the collector's anomalies in a window what is known of it now; the caller commits.

    Return how many stand: none where the asset has scored the window already. What explains a stretch may be another
    sensor when more of it is known, so that rows are not only added to.
    """
    lock_window(connection, window.window_start, site=site)
    connection.execute(
        "DELETE FROM scada.anomalies WHERE site = %s AND window_start = %s AND equipment = %s AND time >= %s "
        "AND found_by = 'collector'",
        (site, window.window_start, window.equipment, window.since),
    )
    return add_live(connection, window.window_start, window.rows, site=site, run_id=run_id)
