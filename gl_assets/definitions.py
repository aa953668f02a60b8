"""What Dagster loads: every asset, check, job, schedule and sensor, put together from one configuration.

Loading reads the configuration file that GL_CONFIG names (the example without it), and nothing else: no server, no
variable, no network.
"""

import warnings

import dagster as dg

from gl_assets.agents.assets import ASSETS as AGENT_ASSETS
from gl_assets.agents.checks import CHECKS as AGENT_CHECKS
from gl_assets.agents.efficiency_advice import build_efficiency_advice, build_efficiency_job
from gl_assets.agents.jobs import JOBS as AGENT_JOBS
from gl_assets.agents.schedules import agent_registry_schedule
from gl_assets.checks.certificates import build_certificates_check, certificates_job, certificates_schedule
from gl_assets.checks.freshness import build_freshness_checks, freshness_jobs, freshness_schedules
from gl_assets.checks.gated_tables import build_gates
from gl_assets.erp.assets import build_erp_assets
from gl_assets.erp.checks import build_erp_checks
from gl_assets.erp.jobs import build_erp_jobs
from gl_assets.erp.schedules import build_erp_schedules
from gl_assets.erp.sweep import build_sweep_jobs, build_sweep_schedules
from gl_assets.event_log_pruning import event_log_pruning_job
from gl_assets.jobs import build_sensor_readings_job, energy_job, hourly_readings_job
from gl_assets.process_heat.boiler_efficiency import build_boiler_efficiency
from gl_assets.process_heat.energy import build_energy_cost, build_energy_intensity
from gl_assets.quality.score_forecast import build_score_forecast, score_forecast_job, score_forecast_schedule
from gl_assets.retention import build_retention_job
from gl_assets.scada.anomaly.anomalies_asset import build_anomalies
from gl_assets.scada.anomaly.jobs import build_anomaly_jobs
from gl_assets.scada.anomaly.models_asset import build_anomaly_models
from gl_assets.scada.corrected_readings import build_corrected_readings, corrections_job
from gl_assets.scada.gap_job import build_gap_filling_job
from gl_assets.scada.hourly_readings import build_hourly_readings
from gl_assets.scada.recalibration_job import build_recalibration_job
from gl_assets.scada.sensor_readings import build_sensor_readings
from gl_assets.scada.write_setpoint import build_write_setpoint
from gl_assets.schedules import build_upkeep_schedules
from resources.integrations import Integrations, load_integrations
from resources.wiring import build_resources
from sensors.triggers.agent_health import build_agent_health_sensor
from sensors.triggers.alarm_events import build_alarm_events_sensor
from sensors.triggers.anomalies import build_anomalies_sensor, build_anomaly_training_sensor
from sensors.triggers.closed_windows import build_closed_windows_sensor
from sensors.triggers.energy_days import build_energy_sensor
from sensors.triggers.erp_changes import build_erp_changes_sensor
from sensors.triggers.hour_complete import build_hour_complete_sensor
from sensors.triggers.hourly_efficiency import build_efficiency_sensor
from sensors.triggers.recalibrations import build_recalibrations_sensor
from sensors.triggers.run_failure import build_run_failure_sensor
from sensors.triggers.unfilled_gaps import build_gaps_sensor


def build_definitions(config: Integrations, *, resources: dict[str, object] | None = None) -> dg.Definitions:
    """Return the definitions of a configuration; `resources` replace single ones by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        corrected_readings = build_corrected_readings(config)
        return dg.Definitions(
            assets=[
                build_sensor_readings(config),
                corrected_readings,
                *build_anomaly_models(config),
                *build_anomalies(config),
                build_hourly_readings(config),
                build_boiler_efficiency(config),
                build_energy_intensity(config),
                build_energy_cost(config),
                *build_erp_assets(config),
                build_score_forecast(config),
                *AGENT_ASSETS,
                *build_efficiency_advice(config),
            ],
            asset_checks=[
                build_certificates_check(config),
                *build_gates(config),
                *build_freshness_checks(config),
                *build_erp_checks(config),
                *AGENT_CHECKS,
            ],
            jobs=[
                build_sensor_readings_job(config),
                hourly_readings_job,
                energy_job,
                *freshness_jobs(config),
                event_log_pruning_job,
                certificates_job,
                score_forecast_job,
                build_gap_filling_job(config),
                build_recalibration_job(config),
                corrections_job(corrected_readings),
                *build_anomaly_jobs(config),
                build_retention_job(config),
                build_write_setpoint(config),
                *build_erp_jobs(config),
                *build_sweep_jobs(config),
                *AGENT_JOBS,
                *build_efficiency_job(config),
            ],
            schedules=[
                certificates_schedule,
                *freshness_schedules(config),
                score_forecast_schedule,
                *build_upkeep_schedules(config),
                *build_erp_schedules(config),
                *build_sweep_schedules(config),
                *([agent_registry_schedule] if config.agents is not None else []),
            ],
            sensors=[
                build_closed_windows_sensor(config),
                build_gaps_sensor(config),
                build_recalibrations_sensor(config),
                build_hour_complete_sensor(config),
                *build_energy_sensor(config),
                *build_anomalies_sensor(config),
                *build_anomaly_training_sensor(config),
                build_run_failure_sensor(config),
                *([build_alarm_events_sensor(config)] if config.alarms is not None else []),
                *([build_erp_changes_sensor(config)] if config.erp.systems else []),
                *([build_agent_health_sensor(config)] if config.agents is not None else []),
                *build_efficiency_sensor(config),
            ],
            resources={**build_resources(config), **(resources or {})},
            executor=dg.in_process_executor,  # of backfills from the UI, too: a process per step costs seconds
        )


defs = build_definitions(load_integrations())
