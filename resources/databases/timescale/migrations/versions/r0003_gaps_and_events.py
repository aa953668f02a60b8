"""Filling gaps from a source's history, and events that a source tells: alarms and conditions."""

from __future__ import annotations

from resources.databases.timescale.migrations.run import run_sql

revision = "0003_gaps_and_events"
down_revision = ("0002_agents", "0002_erp_pulls", "0002_process_heat")


def upgrade() -> None:
    """Add the columns."""
    run_sql("r0003_gaps_and_events.sql")
