"""Which edition of the database this is, and what each can do.

Names, columns and results are the same in all three; what differs is only what the server does by itself.
"""

from __future__ import annotations

from enum import StrEnum

import psycopg


class Edition(StrEnum):
    """What the database offers beyond PostgreSQL."""

    COMMUNITY = "community"
    """TimescaleDB under the Timescale licence: hypertables, compression, policies, continuous aggregates."""
    APACHE = "apache"
    """TimescaleDB under the Apache licence: hypertables and chunks."""
    PLAIN = "plain"
    """PostgreSQL alone: ordinary tables."""

    @property
    def has_hypertables(self) -> bool:
        """True if tables can be hypertables."""
        return self is not Edition.PLAIN


_MISSING = {
    Edition.COMMUNITY: (),
    Edition.APACHE: (
        "compression: rows take about 108 bytes instead of about 20",
        "retention policies: not missed, since the platform's own retention schedule drops old chunks in every edition",
        "continuous aggregates: scada.hourly_readings is computed by the platform in every edition",
    ),
    Edition.PLAIN: (
        "hypertables: scada.readings is one ordinary table; the retention schedule deletes old rows one by one",
        "compression and continuous aggregates, as in the Apache edition",
    ),
}


def detect(connection: psycopg.Connection) -> Edition:
    """Return the edition of the connected database, by what is installed in it (not by what the server could have)."""
    if timescale_version(connection) is None:
        return Edition.PLAIN
    row = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    return Edition.COMMUNITY if row is not None and row[0] == "timescale" else Edition.APACHE


def timescale_version(connection: psycopg.Connection) -> str | None:
    """Return the version of TimescaleDB installed in the connected database, None if there is none."""
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    return None if row is None else str(row[0])


def can_install(connection: psycopg.Connection) -> bool:
    """Return whether TimescaleDB lies ready on the server and is preloaded: creating it otherwise ends the session."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')"
        " AND current_setting('timescaledb.max_background_workers', true) IS NOT NULL"
    ).fetchone()
    return row is not None and bool(row[0])


def missing_features(edition: Edition) -> tuple[str, ...]:
    """Return, as sentences for `gl doctor`, what this edition lacks and what the platform does instead."""
    return _MISSING[edition]
