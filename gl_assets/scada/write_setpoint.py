"""The job `write_setpoint`: one value to one tag of the plant, by the same guard as `gl write`.

It writes only where the configuration says `writes.from_dagster: true`, rehearses unless `confirm` is set, and is never
tried again: neither by Dagster (tags), nor by re-executing the run (refused), nor by a step that starts twice (the
database takes one sent value per run). The record names the run.
"""

import dagster as dg
from pydantic import Field

from gl_assets.partition_range import told_in_words
from resources.integrations import Integrations
from resources.scada.writes import Requester, WriteRequest
from resources.wiring import TimescaleResource
from resources.write_back import DAGSTER, person_here, write_tag

NO_RETRIES = {"dagster/max_retries": "0", "dagster/retry_on_asset_or_op_failure": "false"}
"""Run tags that keep Dagster from launching the run again, whatever the instance is set to."""

_PERSON_TAGS = ("dagster/user", "user")
"""Run tags that may name a person; Dagster's own webserver has no login and sets none."""


class SetpointConfig(dg.Config):
    """What is to be written."""

    sensor_id: str = Field(min_length=1, description="The tag; it needs a block `writable` in the configuration.")
    value: float = Field(description="Engineering value, in the tag's unit.")
    confirm: bool = Field(False, description="True sends it; false reads, judges and says what would be sent.")
    note: str | None = Field(None, description="Why it is written; kept beside it.")


def build_write_setpoint(integrations: Integrations) -> dg.JobDefinition:
    """Return the job for this configuration's tags."""

    @dg.op(
        description="Judge a value against the tag's bounds, record the attempt, send it if confirmed, read it back."
    )
    def write_value(context: dg.OpExecutionContext, config: SetpointConfig, timescale: TimescaleResource) -> None:
        """Write one value; fails unless it was read back as sent, or would be sent."""
        request = WriteRequest(config.sensor_id, config.value, config.confirm, config.note)
        with told_in_words():
            report = write_tag(
                integrations,
                request,
                requester_of(context.run),
                database_url=timescale.resolved_url(),
                barred=repeated(context.run, context.retry_number),
            )
        context.add_output_metadata(
            {
                "outcome": str(report.outcome),
                "reason": report.reason,
                "sensor_id": report.sensor_id,
                "unit": report.unit or "",
                "new_value": report.new_value,
                "audit_row": report.write_id,
                **({} if report.old_value is None else {"old_value": report.old_value}),
                **({} if report.read_back is None else {"read_back": report.read_back}),
            }
        )
        if not report.well:
            raise dg.Failure(f"{report.sensor_id}: {report.outcome}: {report.reason}", allow_retries=False)
        context.log.info(f"{report.sensor_id}: {report.outcome}: {report.reason}")

    @dg.job(
        name="write_setpoint",
        executor_def=dg.in_process_executor,
        description="Write one value to one tag of the plant, within the bounds that the configuration lists. A "
        "rehearsal unless `confirm` is true; needs writes.from_dagster: true. Every attempt is a row of "
        "scada.writes_audit.",
        tags=NO_RETRIES,
    )
    def write_setpoint() -> None:
        write_value()

    return write_setpoint


def requester_of(run: dg.DagsterRun) -> Requester:
    """Return who asks: whom the run's tags name, else what launched it; always with the process's user."""
    process = person_here(DAGSTER)
    person = next((run.tags[tag] for tag in _PERSON_TAGS if run.tags.get(tag)), None)
    launcher = next(
        (f"{kind} {run.tags[tag]}" for kind, tag in _LAUNCHERS.items() if run.tags.get(tag)), "launched by hand"
    )
    who = f"{person} (by tag of the run)" if person else launcher
    return Requester(f"{who}, as {process.by}", DAGSTER, process.host, run.run_id)


_LAUNCHERS = {"schedule": "dagster/schedule_name", "sensor": "dagster/sensor_name", "automation": "dagster/backfill"}


def repeated(run: dg.DagsterRun, retry_number: int) -> str | None:
    """Return why a run may not write because it repeats another; None if it does not."""
    if run.parent_run_id is not None:
        return f"the run repeats run {run.parent_run_id}, and a write is not repeated: launch a new run"
    if retry_number > 0:
        return "the step is tried again, and a write is not: launch a new run"
    return None
