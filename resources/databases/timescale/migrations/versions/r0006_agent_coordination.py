"""Agent coordination: events and cancelled commands in the outbox, health and scores of agents, alarms."""

from __future__ import annotations

from resources.databases.timescale.migrations.run import run_sql

revision = "0006_agent_coordination"
down_revision = "0005_erp_tables"


def upgrade() -> None:
    """Create the tables and columns."""
    for name in (
        "r0006_messages.sql",
        "r0006_registry.sql",
        "r0006_alarms.sql",
        "r0006_strategies.sql",
        "r0006_refusals.sql",
    ):
        run_sql(name)
