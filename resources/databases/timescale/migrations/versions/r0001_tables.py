"""All tables and views that other programs read, and the physical layout behind them."""

from __future__ import annotations

from resources.databases.timescale.migrations.run import make_hypertable, run_sql

revision = "0001"
down_revision = None

CHUNK = "6 hours"
"""A window never spans two chunks (a multiple of an hour), a day of one sensor touches four, a year makes 1,460."""


def upgrade() -> None:
    """Create the schemas, tables and views."""
    run_sql("r0001_scada.sql")
    make_hypertable("scada.readings", "time", CHUNK)
    make_hypertable("scada.text_readings", "time", "7 days")
    make_hypertable("scada.hourly_readings", "hour", "30 days")
    run_sql("r0001_scada_views.sql")
    run_sql("r0001_quality.sql")
    run_sql("r0001_erp.sql")
    run_sql("r0001_agents.sql")
    run_sql("r0001_platform.sql")
