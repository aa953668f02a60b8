"""Who wrote which value to the plant, when and with what outcome."""

from __future__ import annotations

from resources.databases.timescale.migrations.run import run_sql

revision = "0004_writes_audit"
down_revision = "0003_gaps_and_events"


def upgrade() -> None:
    """Create the table and what keeps it unchanged."""
    run_sql("r0004_writes_audit.sql")
