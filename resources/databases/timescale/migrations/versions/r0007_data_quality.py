"""Data people can trust: scores of partitions, calibrations, corrections, detectors."""

from __future__ import annotations

from resources.databases.timescale.migrations.run import run_sql

revision = "0007_data_quality"
down_revision = "0006_agent_coordination"


def upgrade() -> None:
    """Create the tables and columns."""
    for name in (
        "r0007_partition_scores.sql",
        "r0007_defects.sql",
        "r0007_quarantine.sql",
        "r0007_gates.sql",
        "r0007_erp_quality.sql",
        "r0007_anomalies.sql",
        "r0007_score_forecasts.sql",
        "r0007_calibrations.sql",
    ):
        run_sql(name)
