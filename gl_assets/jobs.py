"""Jobs over measurements. One run works through a range of partitions, in one process.

Jobs of ERP records and agents are built in their own packages; upkeep lives in `event_log_pruning`.
"""

import dagster as dg

SENSOR_READINGS = dg.AssetKey(["scada", "sensor_readings"])
HOURLY_READINGS = dg.AssetKey(["scada", "hourly_readings"])
BOILER_EFFICIENCY = dg.AssetKey(["process_heat", "boiler_efficiency"])

HOURLY_ASSETS = (HOURLY_READINGS, BOILER_EFFICIENCY)
"""What is made again, in this order, when an hour is complete or a late reading has changed it."""

sensor_readings_job = dg.define_asset_job(
    "sensor_readings_job",
    # its own checks alone: the one on certificates is asked once a day
    selection=dg.AssetSelection.assets(SENSOR_READINGS)
    - dg.AssetSelection.checks(dg.AssetCheckKey(SENSOR_READINGS, "certificates_are_valid_for_30_days")),
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
