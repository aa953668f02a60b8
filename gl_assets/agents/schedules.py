"""When the agents' assets are made by the clock."""

import dagster as dg

from gl_assets.agents.jobs import agent_registry_job

agent_registry_schedule = dg.ScheduleDefinition(
    name="agent_registry_schedule",
    job=agent_registry_job,
    cron_schedule="10 5 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day: a snapshot of the agents' registry, beside those that agent_health_sensor asks for.",
)
"""Only where the configuration has agents."""
