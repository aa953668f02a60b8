"""Training one equipment in this process, reported to Dagster like a run that the trigger asked for."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from gl_assets.run_launcher import own_process_tag
from gl_assets.scada.anomaly.jobs import anomaly_training_job
from gl_assets.scada.anomaly.models_asset import build_anomaly_models
from gl_assets.scada.run import open_instance
from gl_assets.scada.sensor_readings import build_sensor_readings
from resources.integrations import Integrations
from resources.wiring import TimescaleResource, WindowBufferResource

_SHOWN = ("version", "rows", "trained_from", "trained_to", "judged_together", "judged_by_their_course")


def train_equipment(
    config: Integrations,
    home: Path,
    url: str,
    equipment: str,
    *,
    span: tuple[datetime | None, datetime | None] = (None, None),
) -> Mapping[str, Any]:
    """Train an equipment's detectors and return the figures of its materialisation, or `failed` with the reason.

    Args:
        config: The configuration.
        home: GL_HOME.
        url: The platform's database, migrated.
        equipment: As tags name it.
        span: What it is trained on, begin and end; None: as the configuration says.
    """
    since, until = ("" if instant is None else instant.isoformat() for instant in span)
    job = dg.Definitions(
        assets=[build_sensor_readings(config), *build_anomaly_models(config)],
        jobs=[anomaly_training_job],
        resources={"timescale": TimescaleResource(url=url), "window_buffer": WindowBufferResource()},
    ).resolve_job_def(anomaly_training_job.name)
    with open_instance(home) as instance:
        result = job.execute_in_process(
            instance=instance,
            partition_key=equipment,
            tags=own_process_tag(),
            run_config={"ops": {"scada__anomaly_models": {"config": {"since": since, "until": until}}}},
            raise_on_error=False,
        )
    for event in result.get_asset_materialization_events():
        metadata = event.step_materialization_data.materialization.metadata
        return {name: metadata[name].value for name in _SHOWN}
    errors = [failure.step_failure_data.error for failure in result.get_step_failure_events()]
    return {"failed": "; ".join(error.message.strip() for error in errors if error) or "no reason given"}
