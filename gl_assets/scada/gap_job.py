"""The job that fills gaps: one run deals with whatever is due, and reports the windows it has changed or judged."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from gl_assets.partition_range import told_in_words
from gl_assets.run_launcher import own_process_tag
from gl_assets.scada.gap_filling import FillOutcome, GapFiller, Refill
from gl_assets.scada.gap_timing import timings
from gl_assets.scada.rejudging import reporter
from gl_assets.scada.run import open_instance
from resources.core.errors import PlatformError
from resources.integrations import Integrations
from resources.scada.history import HistorySource
from resources.wiring import TimescaleResource, build_resources, source_key

GAP_JOB = "gap_filling_job"


def keys_of_history(config: Integrations) -> set[str]:
    """Return the resource keys of the sources whose history fills gaps."""
    return {source_key(name, config.sources[name]) for name in timings(config)}


def build_gap_filling_job(config: Integrations) -> dg.JobDefinition:
    """Return the job for this configuration's sources."""

    @dg.op(
        name="fill_gaps",
        required_resource_keys={"timescale", *keys_of_history(config)},
        config_schema={
            "again": dg.Field(bool, default_value=False, description="Try again what waits or has been given up."),
            "sources": dg.Field([str], default_value=[], description="Only gaps of these sources; all if empty."),
        },
        out=dg.Out(dg.Nothing),
        description="Reads the history of gaps that are over, stores what is missing, and judges the gaps' windows.",
    )
    def fill_gaps(context: dg.OpExecutionContext) -> None:
        """Deal with the gaps that are due."""
        resource = _resource_of(context, config)
        sources = {name: Refill(resource(name), timing) for name, timing in timings(config).items()}
        wanted, timescale = context.op_config, context.resources.timescale
        with told_in_words(), timescale.store(config) as store:
            filler = GapFiller(
                config, store, sources, run_id=context.run_id, report=reporter(context, config, "filled_now")
            )
            outcome = filler.run(datetime.now(UTC), again=wanted["again"], only=wanted["sources"])
        context.add_output_metadata(told(outcome))

    @dg.job(
        name=GAP_JOB,
        executor_def=dg.in_process_executor,
        description="Fill gaps from the history of their sources; asked for by gaps_sensor and by `gl gaps fill`.",
    )
    def gap_filling_job() -> None:
        fill_gaps()

    return gap_filling_job


def run_gap_filling(
    config: Integrations, home: Path, url: str, *, again: bool = False, sources: Sequence[str] = ()
) -> dict[str, Any]:
    """Run the job in this process, without Dagster's daemon, and return what it has done, as `told`.

    Args:
        config: The configuration.
        home: GL_HOME; with the platform's Dagster storage at hand the run appears in its UI.
        url: The platform's database, migrated.
        again: Try also what waits or has been given up.
        sources: Only gaps of these sources; all if empty.

    Raises:
        PlatformError: The run failed: the database cannot be reached, say.
    """
    job, op_config = build_gap_filling_job(config), {"again": again, "sources": list(sources)}
    resources = {**build_resources(config), "timescale": TimescaleResource(url=url)}
    with open_instance(home) as instance:
        result = job.execute_in_process(
            run_config={"ops": {"fill_gaps": {"config": op_config}}},
            resources=resources,
            instance=instance,
            tags=own_process_tag(),
            raise_on_error=False,
        )
    for failure in result.get_step_failure_events():
        error = failure.step_failure_data.error
        raise PlatformError(error.message.strip() if error else "filling gaps failed: see the log")
    (event,) = [event for event in result.all_node_events if event.is_successful_output]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def told(outcome: FillOutcome) -> dict[str, Any]:
    """Return an outcome as metadata of a run."""
    return {
        "filled": outcome.filled,
        "failed": outcome.failed,
        "windows": len(outcome.windows),
        "rows": sum(outcome.windows.values()),
        "judged": outcome.judged,
        "busy": outcome.busy,
    }


def _resource_of(context: dg.OpExecutionContext, config: Integrations) -> Callable[[str], HistorySource]:
    def resource(name: str) -> HistorySource:
        found: HistorySource = getattr(context.resources, source_key(name, config.sources[name]))
        return found

    return resource
