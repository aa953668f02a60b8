"""What is computed from measurements: boiler efficiency, and the ledger of the hours it is computed for."""

from __future__ import annotations

from resources.databases.timescale.migrations.run import run_sql

revision = "0002_process_heat"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    run_sql("r0002_process_heat.sql")
