"""The asset `scada/corrected_readings`: a batch of corrected readings, replayed through the pipeline and merged.

A batch is made by `gl rejected replay readings`; here it is carried out, and its windows are judged and reported anew.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pyarrow as pa
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from pydantic import Field

from gl_assets.asset_keys import CORRECTED_READINGS, SENSOR_READINGS
from gl_assets.partition_range import told_in_words
from gl_assets.partitions import quiet_beta
from gl_assets.run_launcher import own_process_tag
from gl_assets.scada.columns import CORRECTED_READINGS_COLUMNS
from gl_assets.scada.correcting import OPEN, Batch, ReadingsReplay, Replayed
from gl_assets.scada.rejudging import rejudge, reporter
from gl_assets.scada.run import open_instance
from resources.core.errors import DataError, PlatformError
from resources.core.readings import TIMESTAMP
from resources.databases.timescale.rework.corrections import (
    Correction,
    batch_readings,
    lock_replays,
    note_outcomes,
    note_replay,
    read_correction,
    unlock_replays,
)
from resources.integrations import Integrations
from resources.wiring import TimescaleResource

JOB_NAME = "corrections_job"

_ROWS = pa.schema(
    [
        ("number", pa.int64()),
        ("source", pa.string()),
        ("sensor_id", pa.string()),
        ("time", TIMESTAMP),
        ("value", pa.float64()),
        ("text_value", pa.string()),
        ("unit", pa.string()),
        ("status", pa.string()),
    ]
)

DESCRIPTION = """Rejected readings that a person has corrected, or that are tried again after the configuration was
mended: a batch goes through the same validation, calibration and scoring as any reading and is merged into
`scada.sensor_readings` under the collector name `<collector>-corrected`. Replaying a batch again writes nothing. The
rejected rows keep standing; who corrected them and why stands in `quality.corrections`."""


class CorrectionConfig(dg.Config):
    """Which batch is replayed."""

    correction_id: int = Field(gt=0, description="Number of the batch, as `gl rejected corrections` lists it.")


def batch_of(connection: psycopg.Connection, correction_id: int, *, site: str) -> tuple[Correction, Batch]:
    """Return a batch of readings, with the rows of it that are not in the tables.

    Raises:
        DataError: The site has no such batch, or it is one of ERP records.
    """
    correction = read_correction(connection, correction_id, site=site)
    if correction is None or correction.kind != "readings":
        raise DataError(
            f"correction {correction_id}: site {site} has no batch of readings of that number: "
            "`gl rejected corrections` lists them"
        )
    rows = pa.Table.from_pylist(batch_readings(connection, correction_id, OPEN), schema=_ROWS)
    return correction, Batch(correction_id, correction.made_at, rows, replace=bool(correction.how.get("replace")))


def build_corrected_readings(integrations: Integrations) -> dg.AssetsDefinition:
    """Return the asset for this configuration."""
    with quiet_beta():

        @dg.asset(
            key=CORRECTED_READINGS,
            group_name="scada",
            deps=[SENSOR_READINGS],
            owners=["team:data-engineering"],
            kinds={"timescaledb", "python"},
            description=DESCRIPTION,
            metadata={
                "dagster/column_schema": CORRECTED_READINGS_COLUMNS,
                "dagster/table_name": "quality.corrected_readings",
                "site": integrations.site,
            },
        )
        def corrected_readings(
            context: dg.AssetExecutionContext, config: CorrectionConfig, timescale: TimescaleResource
        ) -> None:
            """Replay one batch."""
            report = reporter(context.op_execution_context, integrations, "corrected_now")
            run_id = context.run.run_id
            with told_in_words(), timescale.store(integrations) as store:
                lock_replays(store.connection, integrations.site)
                correction, batch = batch_of(store.connection, config.correction_id, site=integrations.site)
                replay = ReadingsReplay(integrations, store, batch, now=datetime.now(UTC))
                replayed = replay.carry_out(run_id)
                with store.transaction() as connection:
                    note_outcomes(connection, correction.correction_id, replayed.outcomes)
                    note_replay(connection, correction.correction_id, run_id)
                # after the outcomes: what a gate says of a window knows what of it has been corrected
                for start, brought in replayed.windows.items():
                    report(rejudge(store, integrations, start, run_id=run_id, brought=brought))
                unlock_replays(store.connection, integrations.site)
            context.add_output_metadata(told(correction, replayed))
            _fail_if_set_aside(replayed)

    return corrected_readings


def told(correction: Correction, replayed: Replayed) -> dict[str, Any]:
    """Return what a replay says of itself, as metadata of its run."""
    counts = replayed.counts()
    return {
        "correction_id": correction.correction_id,
        "because": correction.because,
        "made_by": correction.made_by,
        "rows_of_the_batch": correction.rows,
        "tried": len(replayed.outcomes),
        "written": replayed.written,
        **{name: counts.get(name, 0) for name in ("stored", "standing", "occupied", "repeated", "rejected")},
        "windows": len(replayed.windows),
        "reasons": dict(list(replayed.reasons().items())[:10]),
        "failed": replayed.failed,
    }


def _fail_if_set_aside(replayed: Replayed) -> None:
    if replayed.failed:
        key, why = next(iter(replayed.failed.items()))
        raise dg.Failure(
            f"{len(replayed.failed)} windows could not be corrected, the others are: {key}: {why}", allow_retries=False
        )


def corrections_job(asset: dg.AssetsDefinition) -> UnresolvedAssetJobDefinition:
    """Return the job that replays one batch."""
    return dg.define_asset_job(
        JOB_NAME,
        selection=dg.AssetSelection.assets(asset),
        executor_def=dg.in_process_executor,
        description="Replay a batch of corrected readings; asked for by `gl rejected replay`.",
    )


def run_correction(config: Integrations, home: Path, url: str, correction_id: int) -> Mapping[str, Any]:
    """Replay a batch in this process, without Dagster's daemon, and return what came of it, as `told`.

    Args:
        config: The configuration.
        home: GL_HOME; with the platform's Dagster storage at hand the run appears in its UI.
        url: The platform's database, migrated.
        correction_id: The batch.

    Raises:
        PlatformError: The run failed; the batch is kept and can be replayed again.
    """
    asset = build_corrected_readings(config)
    definitions = dg.Definitions(
        assets=[asset], jobs=[corrections_job(asset)], resources={"timescale": TimescaleResource(url=url)}
    )
    op_name = asset.op.name
    with open_instance(home) as instance:
        result = definitions.resolve_job_def(JOB_NAME).execute_in_process(
            run_config={"ops": {op_name: {"config": {"correction_id": correction_id}}}},
            instance=instance,
            tags=own_process_tag(),
            raise_on_error=False,
        )
    for failure in result.get_step_failure_events():
        error = failure.step_failure_data.error
        raise PlatformError(error.message.strip() if error else "the replay failed: see the log")
    (made,) = [event for event in result.get_asset_materialization_events() if event.asset_key == CORRECTED_READINGS]
    metadata = made.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in metadata.items()}
