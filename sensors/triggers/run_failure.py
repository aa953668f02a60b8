"""The trigger of failed runs: each becomes a row in scada.events and one line in the log, with what happens next."""

from datetime import UTC, datetime

import dagster as dg
import structlog

from gl_assets.jobs import hourly_readings_job, sensor_readings_job
from resources.core.errors import PlatformError
from resources.databases.timescale.notes.events import record_event
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.triggers.active_runs import ATTEMPT_TAG, PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG

_ASKED_AGAIN = (sensor_readings_job.name, hourly_readings_job.name)
_LONGEST = 1000


def describe_failure(run: dg.DagsterRun, reason: str) -> str:
    """Return the sentence about a failed run: which, over what, which attempt, why, and what happens next."""
    first = run.tags.get(RANGE_START_TAG) or run.tags.get(PARTITION_TAG, "")
    last = run.tags.get(RANGE_END_TAG, first)
    span = f" over {first}" + (f" to {last}" if last != first else "") if first else ""
    attempt = run.tags.get(ATTEMPT_TAG)
    nth = f", attempt {attempt}" if attempt else ""
    after = (
        "what it did not store is asked for again after a pause"
        if run.job_name in _ASKED_AGAIN and attempt
        else ("it is not repeated by itself: start it again from the Dagster UI once the cause is gone")
    )
    return f"run {run.run_id} of {run.job_name}{span}{nth} failed: {reason}; {after}"


def build_run_failure_sensor(config: Integrations) -> dg.SensorDefinition:
    """Return the sensor."""

    @dg.run_failure_sensor(
        name="run_failure_sensor",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        description="Records every failed run in scada.events and in the log.",
    )
    def run_failure_sensor(context: dg.RunFailureSensorContext, timescale: TimescaleResource) -> None:
        """Record one failed run; the database being away must not hold back the failures after it."""
        log = structlog.get_logger(__name__)
        run = context.dagster_run
        steps = [event.step_failure_data.error for event in context.get_step_failure_events()]
        causes = [error.message.strip() for error in steps if error is not None]
        reason = (causes[0] if causes else context.failure_event.message or "no reason given")[:_LONGEST]
        message = describe_failure(run, reason)
        attempt = int(run.tags.get(ATTEMPT_TAG, "1"))
        log.error("run_failed", run_id=run.run_id, job=run.job_name, attempt=attempt, reason=reason)
        details: dict[str, object] = {"job": run.job_name, "attempt": attempt, "tags": _own_tags(run)}
        try:
            with timescale.connection() as connection:
                record_event(
                    connection,
                    config.site,
                    event_type="run_failed",
                    source=run.job_name,
                    message=message,
                    details=details,
                    time=datetime.now(UTC),
                    run_id=run.run_id,
                )
        except PlatformError as error:
            log.warning("run_failure_not_recorded", run_id=run.run_id, error=str(error))

    return run_failure_sensor


def _own_tags(run: dg.DagsterRun) -> dict[str, str]:
    wanted = ("gl/", RANGE_START_TAG, RANGE_END_TAG, PARTITION_TAG)
    return {name: value for name, value in run.tags.items() if name.startswith(wanted)}
