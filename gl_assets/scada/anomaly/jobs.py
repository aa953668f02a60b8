"""Jobs of anomalies: scoring windows, and training detectors."""

from typing import Any

import dagster as dg

from gl_assets.asset_keys import ANOMALIES, ANOMALY_MODELS
from resources.integrations import Integrations

anomalies_job = dg.define_asset_job(
    "anomalies_job",
    selection=dg.AssetSelection.assets(ANOMALIES),
    executor_def=dg.in_process_executor,
    description="Score stored windows with the detectors of their equipment; asked for by anomalies_sensor.",
)

anomaly_training_job = dg.define_asset_job(
    "anomaly_training_job",
    selection=dg.AssetSelection.assets(ANOMALY_MODELS),
    executor_def=dg.in_process_executor,
    description="Train the detectors of an equipment; asked for by anomaly_training_sensor and `gl anomalies train`.",
)


def build_anomaly_jobs(config: Integrations) -> list[Any]:
    """Return the jobs of a configuration; none where no equipment is watched."""
    watched = config.anomalies.equipment(config.tags().values())
    return [anomalies_job, anomaly_training_job] if watched else []
