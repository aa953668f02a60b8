"""The ledger of ERP pulls: what the server counted, what was stored, when."""

from __future__ import annotations

from resources.databases.timescale.migrations.run import run_sql

revision = "0002_erp_pulls"
down_revision = "0001"


def upgrade() -> None:
    """Create `erp.pulls`."""
    run_sql("r0002_erp_pulls.sql")
