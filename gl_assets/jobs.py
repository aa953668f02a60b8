"""Jobs over measurements. One run works through a range of partitions, in one process.

Jobs of ERP records and agents are built in their own packages; upkeep lives in `event_log_pruning`.
"""

from collections.abc import Iterable

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from gl_assets.asset_keys import DAILY_ASSETS, HOURLY_ASSETS, SENSOR_READINGS
from gl_assets.checks.gates import GATES, gates_of
from resources.integrations import Integrations


def _sensor_readings_job(gates: Iterable[str]) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        "sensor_readings_job",
        # with the gates that judge each window as it is stored, and no other check of the asset
        selection=dg.AssetSelection.assets(SENSOR_READINGS).without_checks()
        | dg.AssetSelection.checks(*(dg.AssetCheckKey(SENSOR_READINGS, gate) for gate in gates)),
        executor_def=dg.in_process_executor,
        description="Store closed windows of the window buffer; asked for by closed_windows_sensor.",
    )


sensor_readings_job = _sensor_readings_job(gate.name for gate in GATES)
"""The job where no gate is off."""

hourly_readings_job = dg.define_asset_job(
    "hourly_readings_job",
    selection=dg.AssetSelection.assets(*HOURLY_ASSETS),
    executor_def=dg.in_process_executor,
    description="Make hourly readings and what is computed from them; asked for by hour_complete_sensor.",
)

energy_job = dg.define_asset_job(
    "energy_job",
    selection=dg.AssetSelection.assets(*DAILY_ASSETS),
    executor_def=dg.in_process_executor,
    description="Make energy intensity and cost of days; asked for by energy_days_sensor.",
)


def build_sensor_readings_job(config: Integrations) -> UnresolvedAssetJobDefinition:
    """Return the job that stores windows, with the gates that this configuration has."""
    return _sensor_readings_job(gate.name for gate in gates_of(config))
