"""The job that calibrates stored windows anew: asked for by a person, with a reason, and reported window by window."""

import getpass
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import structlog

from gl_assets.partition_range import told_in_words
from gl_assets.run_launcher import own_process_tag
from gl_assets.scada.recalibration import PendingWindow, Recalibrator, pending_windows
from gl_assets.scada.rejudging import JudgedWindow, rejudge, reporter
from gl_assets.scada.run import open_instance
from resources.core.errors import ConfigError, DataError, PlatformError
from resources.core.windows import partition_key
from resources.databases.timescale.rework.recalibrations import (
    Recalibration,
    note_done,
    note_progress,
    request,
    requests,
)
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.integrations import Integrations
from resources.wiring import TimescaleResource

RECALIBRATION_JOB = "recalibration_job"

MOST_WINDOWS = 2_000
"""Most windows of one run; the trigger asks for the next ones."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Outcome:
    """What one run has done."""

    windows: int = 0
    """Windows that are as the configuration says now."""
    changed: int = 0
    """Of these, windows with rows whose calibrated value changed."""
    rows: int = 0
    sensors: dict[str, int] = field(default_factory=dict)
    """Sensor -> rows."""
    failed: dict[str, str] = field(default_factory=dict)
    """Partition key -> why it was set aside."""
    left: int = 0
    """Windows for the next run."""


def open_request(store: ReadingsStore, config: Integrations) -> Recalibration | None:
    """Return what was asked for under the present state of the configuration and is not done, None if nothing is."""
    with store.transaction() as connection:
        found = requests(connection, config.site, only_open=True)
    return next((one for one in found if one.book == config.calibration_book.name), None)


def recalibrate_windows(context: dg.OpExecutionContext, config: Integrations, store: ReadingsStore) -> Outcome:
    """Calibrate the windows that are pending anew, newest first, and report those that changed."""
    report, outcome = reporter(context, config, "recalibrated_now"), Outcome()
    with store.transaction() as connection:
        pending = pending_windows(connection, config)
    worker = Recalibrator(config, store, context.run_id)
    for window in pending[:MOST_WINDOWS]:
        _one(worker, window, outcome, report)
    outcome.left = max(0, len(pending) - MOST_WINDOWS)
    return outcome


def _one(worker: Recalibrator, window: PendingWindow, outcome: Outcome, report: Any) -> None:
    try:
        done = worker.carry_out(window.start)
    except (DataError, ConfigError) as error:
        outcome.failed[partition_key(window.start)] = str(error)
        log.error("recalibration_set_aside", window=partition_key(window.start), error=str(error))
        return
    outcome.windows += 1
    if not done.rows:
        return
    outcome.changed += 1
    outcome.rows += done.rows
    for sensor, rows in done.sensors.items():
        outcome.sensors[sensor] = outcome.sensors.get(sensor, 0) + rows
    judged: JudgedWindow = rejudge(worker.store, worker.config, window.start, run_id=worker.run_id, brought=done.rows)
    report(judged)


def build_recalibration_job(config: Integrations) -> dg.JobDefinition:
    """Return the job for this configuration's calibrations."""

    @dg.op(
        name="recalibrate",
        required_resource_keys={"timescale"},
        config_schema={
            "because": dg.Field(str, default_value="", description="Why; needed unless it was asked for before."),
            "by": dg.Field(str, default_value="", description="Who asks; the user of the process if empty."),
        },
        out=dg.Out(dg.Nothing),
        description="Calibrates stored readings anew where the configuration has changed since they were stored.",
    )
    def recalibrate(context: dg.OpExecutionContext) -> None:
        """Do what was asked for."""
        wanted, book = context.op_config, config.calibration_book.name
        with told_in_words(), context.resources.timescale.store(config) as store:
            if wanted["because"]:
                with store.transaction() as connection:
                    by = wanted["by"] or getpass.getuser()
                    request(connection, config.site, book=book, by=by, because=wanted["because"])
            asked = open_request(store, config)
            if asked is None:
                raise DataError(
                    "nobody has asked for stored readings to be calibrated anew under the present calibrations: say "
                    "why, by `gl calibrations apply --because ...` or in the run's configuration"
                )
            outcome = recalibrate_windows(context, config, store)
            with store.transaction() as connection:
                note_progress(
                    connection,
                    asked.recalibration_id,
                    windows=outcome.windows,
                    rows=outcome.rows,
                    run_id=context.run_id,
                )
                if not outcome.left and not outcome.failed:
                    note_done(connection, config.site, book)
        context.add_output_metadata(told(asked, outcome))
        _fail_if_set_aside(outcome)

    @dg.job(
        name=RECALIBRATION_JOB,
        executor_def=dg.in_process_executor,
        description="Calibrate stored readings anew; asked for by `gl calibrations apply`.",
    )
    def recalibration_job() -> None:
        recalibrate()

    return recalibration_job


def told(asked: Recalibration, outcome: Outcome) -> dict[str, Any]:
    """Return what a run has done as its metadata."""
    return {
        "because": asked.because,
        "requested_by": asked.requested_by,
        "windows": outcome.windows,
        "changed": outcome.changed,
        "rows": outcome.rows,
        "sensors": dict(list(outcome.sensors.items())[:100]),
        "left": outcome.left,
        "failed": outcome.failed,
    }


def _fail_if_set_aside(outcome: Outcome) -> None:
    if outcome.failed:
        key, why = next(iter(outcome.failed.items()))
        raise dg.Failure(
            f"{len(outcome.failed)} windows could not be calibrated anew, the others are: {key}: {why}",
            allow_retries=False,
        )


def run_recalibration(config: Integrations, home: Path, url: str, *, because: str, by: str) -> dict[str, Any]:
    """Run the job in this process, until nothing is pending, and return what it has done, as `told`.

    Args:
        config: The configuration.
        home: GL_HOME; with the platform's Dagster storage at hand the run appears in its UI.
        url: The platform's database, migrated.
        because: Why.
        by: Who asks for it.

    Raises:
        PlatformError: The run failed; what is done stays done.
    """
    job, total = build_recalibration_job(config), dict[str, Any]()
    with open_instance(home) as instance:
        while not total or total["left"]:
            op_config = {} if total else {"because": because, "by": by}
            result = job.execute_in_process(
                run_config={"ops": {"recalibrate": {"config": op_config}}},
                resources={"timescale": TimescaleResource(url=url)},
                instance=instance,
                tags=own_process_tag(),
                raise_on_error=False,
            )
            for failure in result.get_step_failure_events():
                error = failure.step_failure_data.error
                raise PlatformError(error.message.strip() if error else "calibrating anew failed: see the log")
            (event,) = [event for event in result.all_node_events if event.is_successful_output]
            done = {name: value.value for name, value in event.step_output_data.metadata.items()}
            for name in ("windows", "changed", "rows"):
                done[name] += total.get(name, 0)
            total = done
    return total
