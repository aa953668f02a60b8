"""${message}."""

from __future__ import annotations

from resources.databases.timescale.migrations.run import run_sql

revision = "${up_revision}"
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Apply the revision."""
    run_sql("r${up_revision}_what.sql")
