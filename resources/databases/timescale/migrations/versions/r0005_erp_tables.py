"""The standard tables of ERP datasets, the history of master data, cursors of changes, and what drift is judged by."""

from __future__ import annotations

from resources.databases.timescale.migrations.run import run_sql

revision = "0005_erp_tables"
down_revision = "0004_writes_audit"


def upgrade() -> None:
    """Create the tables."""
    run_sql("r0005_erp_tables.sql")
