"""The asset `scada/anomaly_models`: the detectors of each equipment, one partition per equipment."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from gl_assets.asset_keys import ANOMALY_MODELS, SENSOR_READINGS
from gl_assets.partition_range import told_in_words, work_through
from gl_assets.partitions import quiet_beta
from gl_assets.scada.anomaly.charts import sensors_table, training_chart
from gl_assets.scada.anomaly.training import Training, train
from gl_assets.scada.columns import ANOMALY_MODELS_COLUMNS
from resources.core.errors import ConfigError
from resources.databases.timescale.anomaly.anomaly_models import store_model
from resources.integrations import Integrations
from resources.wiring import TimescaleResource

DESCRIPTION = """What is normal of each equipment, learnt from its good readings of the last `anomalies.training_span`:
a multivariate detector of all its sensors and a robust one of each. One partition is one equipment. A new version is
made when sensors or parameters change, when the last is `anomalies.retrain_after` old, or by `gl anomalies train`."""


class TrainingSpan(dg.Config):
    """What a run trains on, where it is not the latest stretch."""

    since: str = ""
    """First instant, ISO 8601 with zone; `training_span` before the end if empty."""
    until: str = ""
    """End; the present if empty."""


@dataclass(frozen=True, slots=True)
class ModelWriter:
    """Trains the equipment of one run and reports each."""

    context: dg.AssetExecutionContext
    config: Integrations
    timescale: TimescaleResource
    span: TrainingSpan

    def write(self, equipment: str) -> None:
        """Train one equipment's detectors, store and report them.

        Raises:
            DataError: There are too few good readings; the detectors in force stay.
        """
        until = _instant(self.span.until, "until") or datetime.now(UTC)
        with self.timescale.connection() as connection:
            training = train(
                connection,
                self.config,
                equipment,
                until=until,
                since=_instant(self.span.since, "since"),
                run_id=self.context.run.run_id,
            )
            version = store_model(connection, training.stored, site=self.config.site)
        self.context.log_event(
            dg.AssetMaterialization(ANOMALY_MODELS, partition=equipment, metadata=model_metadata(training, version))
        )


def _instant(text: str, name: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{name}: {text!r} is no instant: write it such as 2026-11-22T10:00:00Z") from error
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def model_metadata(training: Training, version: int) -> dict[str, Any]:
    """Return what the UI shows of an equipment's detectors."""
    stored, model = training.stored, training.trained.multivariate
    anomalous = model.score(training.values).is_anomalous
    return {
        "version": version,
        "rows": stored.rows,
        "trained_from": stored.trained_from.isoformat(),
        "trained_to": stored.trained_to.isoformat(),
        "judged_together": len(model.features.sensor),
        "judged_by_their_course": len(model.wandering),
        "limit": model.limit if len(model.features.sensor) else "none: no sensor is judged with others",
        "anomalous_share_of_training": round(float(anomalous.mean()), 6),
        "sensors": sensors_table(training),
        "training": training_chart(training),
    }


def build_anomaly_models(integrations: Integrations) -> list[dg.AssetsDefinition]:
    """Return the asset for the equipment of a configuration, in a list that is empty where there is none."""
    equipment = sorted(integrations.anomalies.equipment(integrations.tags().values()))
    if not equipment:
        return []
    with quiet_beta():

        @dg.asset(
            key=ANOMALY_MODELS,
            group_name="scada",
            deps=[SENSOR_READINGS],
            partitions_def=dg.StaticPartitionsDefinition(equipment),
            backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
            output_required=False,  # each equipment reports itself as it commits
            owners=["team:data-engineering"],
            kinds={"timescaledb", "python", "numpy"},
            description=DESCRIPTION,
            metadata={
                "dagster/column_schema": ANOMALY_MODELS_COLUMNS,
                "dagster/table_name": "scada.anomaly_models",
                "site": integrations.site,
            },
        )
        def anomaly_models(
            context: dg.AssetExecutionContext, config: TrainingSpan, timescale: TimescaleResource
        ) -> Iterator[dg.Output[None]]:
            """Train the run's equipment."""
            with told_in_words():
                outcome = work_through(
                    context.partition_keys, ModelWriter(context, integrations, timescale, config).write
                )
            outcome.raise_if_failed()
            yield from ()

    return [anomaly_models]
