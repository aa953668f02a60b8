"""The daily pull of every ERP system: yesterday and the overlap before it, as one range run."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from gl_assets.erp.days import standard_zone, sync_range
from gl_assets.erp.feeds import feeds_of
from gl_assets.erp.jobs import build_erp_jobs, standard_job_name, sync_job_name, tables_of_several_zones
from resources.integrations import Integrations

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def build_erp_schedules(config: Integrations) -> list[dg.ScheduleDefinition]:
    """Return one schedule per ERP job, in the zone of its business days."""
    rules = dict(_rules(config))
    return [_daily(config, job.name, *rules[job.name]) for job in build_erp_jobs(config)]


def _rules(config: Integrations) -> Iterator[tuple[str, tuple[str, timedelta]]]:
    """Yield job name, and the zone and overlap of its days."""
    for name, system in config.erp.systems.items():
        yield sync_job_name(name), (system.time_zone, system.overlap)
    for table in tables_of_several_zones(config):
        longest = max(feed.settings.overlap for feed in feeds_of(config, table))
        yield standard_job_name(table), (standard_zone(config, table), longest)


def _daily(config: Integrations, job_name: str, zone: str, overlap: timedelta) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=job_name.removesuffix("_job") + "_schedule",
        job_name=job_name,
        cron_schedule=config.erp.schedule,
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Pull yesterday and the {overlap} before it, by the clock of {zone}.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time
        days = sync_range(config, zone, overlap, now)
        if days is None:
            return dg.SkipReason(f"no business day of {zone} has ended since the configured start")
        first, last = (day.isoformat() for day in days)
        return dg.RunRequest(run_key=f"{now.isoformat()}", tags={RANGE_START: first, RANGE_END: last})

    return daily
