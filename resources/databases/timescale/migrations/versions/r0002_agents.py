"""The orchestrator's memory: the agents' current sessions and the ids it has seen."""

from __future__ import annotations

from resources.databases.timescale.migrations.run import run_sql

revision = "0002_agents"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    run_sql("r0002_agents.sql")
