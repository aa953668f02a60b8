"""Jobs over measurements. One run works through a range of partitions, in one process.

Jobs of ERP records and agents are built in their own packages; upkeep lives in `event_log_pruning`.
"""

import dagster as dg

from gl_assets.asset_keys import HOURLY_ASSETS, SENSOR_READINGS
from gl_assets.checks.gates import GATES

sensor_readings_job = dg.define_asset_job(
    "sensor_readings_job",
    # with the gates that judge each window as it is stored, and no other check of the asset
    selection=dg.AssetSelection.assets(SENSOR_READINGS).without_checks()
    | dg.AssetSelection.checks(*(dg.AssetCheckKey(SENSOR_READINGS, gate.name) for gate in GATES)),
    executor_def=dg.in_process_executor,
    description="Store closed windows of the window buffer; asked for by closed_windows_sensor.",
)

hourly_readings_job = dg.define_asset_job(
    "hourly_readings_job",
    selection=dg.AssetSelection.assets(*HOURLY_ASSETS),
    executor_def=dg.in_process_executor,
    description="Make hourly readings and what is computed from them; asked for by hour_complete_sensor.",
)

JOBS = (sensor_readings_job, hourly_readings_job)
