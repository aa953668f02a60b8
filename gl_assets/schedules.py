"""Schedules of upkeep. ERP pulls have theirs in `gl_assets.erp.schedules`; measurements run by sensors."""

import dagster as dg

from gl_assets.event_log_pruning import event_log_pruning_job
from resources.integrations import Integrations

event_log_pruning_schedule = dg.ScheduleDefinition(
    name="event_log_pruning_schedule",
    job=event_log_pruning_job,
    cron_schedule="40 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: keep Dagster's event log small.",
)


def build_upkeep_schedules(config: Integrations) -> list[dg.ScheduleDefinition]:
    """Return the schedules of upkeep; the one of retention runs where a limit is configured."""
    limited = any(age is not None for age in config.retention.model_dump().values())
    retention_schedule = dg.ScheduleDefinition(
        name="retention_schedule",
        job_name="retention_job",
        cron_schedule="20 4 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if limited else dg.DefaultScheduleStatus.STOPPED,
        description="Every night: drop what is older than `retention` of the configuration; stopped where it has none.",
    )
    return [event_log_pruning_schedule, retention_schedule]
