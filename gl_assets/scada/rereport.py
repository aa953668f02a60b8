"""Telling Dagster which windows are stored, anew: after the window length has changed, its partitions have other names.

Left as they are, materialisations of the old length would keep the webserver searching for partitions that the asset no
longer has.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterEventType
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID

from gl_assets.asset_keys import SENSOR_READINGS
from resources.core.windows import partition_key
from resources.databases.timescale.rework.regrid import StoredWindow

BATCH = 500
"""Windows in one transaction: Dagster's own way writes one at a time, minutes for a year of windows."""


def rereport(
    instance: dg.DagsterInstance,
    windows: Sequence[StoredWindow],
    length: timedelta,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Wipe what Dagster knows of the windows, report these instead, and return how many.

    Results of checks in Dagster go with the wipe; `quality.gate_results` keeps them. Can be repeated at any time.
    """
    instance.wipe_assets([SENSOR_READINGS])
    for first in range(0, len(windows), BATCH):
        batch = [_entry(window, length) for window in windows[first : first + BATCH]]
        instance.event_log_storage.store_event_batch(batch)
        progress(first + len(batch))
    return len(windows)


def _entry(window: StoredWindow, length: timedelta) -> EventLogEntry:
    start = window.window_start.astimezone(UTC)
    materialization = dg.AssetMaterialization(
        SENSOR_READINGS,
        partition=partition_key(start),
        metadata={
            "dagster/row_count": window.rows,
            "rows": window.rows,
            "rejected": window.rejected,
            "window": f"[{start:%Y-%m-%dT%H:%M}Z, {start + length:%Y-%m-%dT%H:%M}Z)",
            "revision": window.revision,
            "partial": window.partial,
            "collector": ", ".join(window.collectors),
            "reported_by": "gl window migrate",
        },
    )
    event = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        event_specific_data=StepMaterializationData(materialization),
        job_name=RUNLESS_JOB_NAME,
    )
    return EventLogEntry(  # type: ignore[no-untyped-call] # Dagster's, a record without annotations
        error_info=None,
        user_message="",
        level=20,
        run_id=RUNLESS_RUN_ID,
        timestamp=datetime.now(UTC).timestamp(),
        job_name=RUNLESS_JOB_NAME,
        dagster_event=event,
    )
