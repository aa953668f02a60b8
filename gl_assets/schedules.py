"""Schedules of upkeep. ERP pulls have theirs in `gl_assets.erp.schedules`; measurements run by sensors."""

import dagster as dg

from gl_assets.event_log_pruning import event_log_pruning_job

event_log_pruning_schedule = dg.ScheduleDefinition(
    name="event_log_pruning_schedule",
    job=event_log_pruning_job,
    cron_schedule="40 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: keep Dagster's event log small.",
)

SCHEDULES = (event_log_pruning_schedule,)
